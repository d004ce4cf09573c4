"""Ctrl-C: the first asks for a clean stop, the second stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """A wish to stop, and whether it was uttered."""

    def __init__(self) -> None:
        self._wanted = threading.Event()

    @property
    def wanted(self) -> bool:
        """Whether somebody wants the run to stop after the running steps."""
        return self._wanted.is_set()

    def want(self) -> None:
        """Ask for a clean stop."""
        self._wanted.set()

    def wait(self, seconds: float) -> bool:
        """Sleep, or wake when a stop is wanted; returns whether it is."""
        return self._wanted.wait(seconds)

    def handle(self, _number: int, _frame: FrameType | None) -> None:
        """Note the first signal; raise KeyboardInterrupt at the second."""
        if self.wanted:
            raise KeyboardInterrupt
        self.want()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Listen to Ctrl-C and to SIGTERM while the block runs. For the main thread only."""
        signals = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, self.handle) for number in signals]
        try:
            yield
        finally:
            for number, handler in zip(signals, before, strict=True):
                signal.signal(number, handler)
