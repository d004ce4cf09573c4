"""See all scopes at once: one thread and one round trip per endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from grappe.graph.resource import Observation
from grappe.model.script import Answer, Script
from grappe.model.site import Site
from grappe.platforms.base import Platform
from grappe.platforms.planning import Survey
from grappe.transport.base import Transport, TransportError


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a scope is reached, and what speaks for it.

    `arrival` is the way to the device once its address has changed; None: the address stays.
    """

    platform: Platform
    transport: Transport
    arrival: Transport | None = None


class UnreadableError(Exception):
    """A device answered, but not what was asked."""


def observe(site: Site, endpoints: Mapping[str, Endpoint], *, timeout: float = 60.0) -> Survey:
    """Ask every endpoint its platform's questions, side by side. Raises nothing for a silent device."""
    if not endpoints:
        return Survey({}, {})
    threads = ThreadPoolExecutor(max_workers=len(endpoints), thread_name_prefix="observe")
    try:
        seen = threads.map(lambda item: _try(site, item[0], item[1], timeout), sorted(endpoints.items()))
        results = dict(zip(sorted(endpoints), seen, strict=True))
    finally:
        # Not `with`: after Ctrl-C nobody waits for a device that is silent.
        threads.shutdown(wait=False, cancel_futures=True)
    return Survey(
        {scope: result for scope, result in results.items() if isinstance(result, Observation)},
        {scope: result for scope, result in results.items() if isinstance(result, str)},
    )


def _try(site: Site, scope: str, endpoint: Endpoint, timeout: float) -> Observation | str:
    try:
        return look(site, scope, endpoint, endpoint.transport, timeout=timeout)
    except TransportError as error:
        return error.reason + (f" ({error.hint})" if error.hint else "")
    except UnreadableError as error:
        return str(error)


def look(
    site: Site, scope: str, endpoint: Endpoint, transport: Transport, *, timeout: float = 60.0
) -> Observation:
    """Observe one scope through `transport`. Raises TransportError or UnreadableError."""
    questions = endpoint.platform.questions()
    answers = transport.run(questions, timeout=timeout)
    _complete(questions, answers)
    try:
        return endpoint.platform.understand(site, scope, answers)
    except (ValueError, LookupError) as error:
        # Parsers of platforms meet text from any version of any tool: one odd answer must not end all.
        message = f"its answers were not understood: {type(error).__name__}: {error}"
        raise UnreadableError(message) from error


def _complete(questions: Script, answers: tuple[Answer, ...]) -> None:
    if len(answers) == len(questions) and (not answers or answers[-1].ok or not questions[-1].check):
        return
    if not answers:
        raise UnreadableError("it gave no answer at all")
    failed, answer = questions[len(answers) - 1], answers[-1]
    said = answer.err.strip() or answer.out.strip() or "it said nothing"
    raise UnreadableError(f"`{' '.join(failed.argv)}` failed with status {answer.status}: {said}")
