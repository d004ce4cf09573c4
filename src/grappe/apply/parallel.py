"""Scopes side by side, one thread each, in a way that Ctrl-C gets through."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


def side_by_side(jobs: Mapping[str, Callable[[], T]]) -> dict[str, T]:
    """Run every job in a thread of its own and return their results.

    All jobs are waited for; then the first error, in the order of the names, is raised. The threads are
    daemons: one who presses Ctrl-C twice does not wait for a silent device.
    """
    if len(jobs) == 1:
        ((name, job),) = jobs.items()
        return {name: job()}
    results: dict[str, T] = {}
    errors: dict[str, BaseException] = {}

    def work(name: str, job: Callable[[], T]) -> None:
        try:
            results[name] = job()
        except BaseException as error:
            errors[name] = error

    threads = [threading.Thread(target=work, args=item, daemon=True) for item in jobs.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in sorted(errors):
        raise errors[name]
    return results
