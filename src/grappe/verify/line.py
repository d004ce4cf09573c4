"""A line to a program of ours on a device: started over a transport, spoken to in JSON, one object a line.

The program's source goes through its standard input, so that nothing is installed and no command line is
long; orders follow on the same input, answers (objects with an `event`) come back on its output.
"""

from __future__ import annotations

import collections
import contextlib
import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable
from importlib.resources import files
from typing import IO, Any

from grappe.transport.base import Transport, TransportError

_LOADER = (
    "import os,sys\n"
    "wanted,code={size},b''\n"
    "while len(code)<wanted:\n"
    " part=os.read(0,wanted-len(code))\n"
    " if not part: sys.exit(1)\n"
    " code+=part\n"
    "exec(compile(code,'grappe-{name}','exec'),{{'__name__':'__main__'}})\n"
)
"""What `python3 -c` is given: it reads the program from standard input, the orders after it stay unread."""


class Line:
    """The line to one program. A device that fails is given up: `reason` says why, and nothing is raised.

    `program` is a file of this package, written for Python 3.6 and the standard library alone.
    """

    def __init__(self, transport: Transport, program: str) -> None:
        self.device = transport.device
        self.reason = ""
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._noise: collections.deque[str] = collections.deque(maxlen=20)
        self._process: subprocess.Popen[bytes] | None = None
        self._pipes: tuple[IO[bytes], ...] = ()
        self._threads: list[threading.Thread] = []
        try:
            self._start(transport, program)
        except (TransportError, OSError) as problem:
            self.reason = str(problem)

    @property
    def lively(self) -> bool:
        """Whether the device still answers."""
        return not self.reason

    @property
    def open(self) -> bool:
        """Whether there is a process to close."""
        return self._process is not None

    def _start(self, transport: Transport, program: str) -> None:
        source = files("grappe.verify").joinpath(program).read_bytes()
        loader = _LOADER.format(size=len(source), name=program.removesuffix(".py"))
        process = transport.popen(("python3", "-I", "-S", "-u", "-c", loader))
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise OSError("the transport gave no pipes")
        self._process, self._pipes = process, (process.stdin, process.stdout, process.stderr)
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._read, self._read_noise)
        ]
        for thread in self._threads:
            thread.start()
        self._write(source)

    def _write(self, data: bytes) -> None:
        try:
            self._pipes[0].write(data)
            self._pipes[0].flush()
        except OSError as problem:
            self.reason = self.reason or f"its probe ended: {self._last_words() or problem}"

    def _read(self) -> None:
        for line in self._pipes[1]:
            answer = _answer(line)
            if answer is None:
                self._noise.append(line.decode("utf-8", "replace"))
            else:
                self._answers.put({**answer, "received": time.time()})
        self._answers.put(None)

    def _read_noise(self) -> None:
        self._noise.extend(line.decode("utf-8", "replace") for line in self._pipes[2])

    def _last_words(self) -> str:
        return self._noise[-1].strip() if self._noise else ""

    def _words(self) -> str:
        words = self._last_words()
        return f"; it said: {words}" if words else ""

    def order(self, **order: object) -> None:
        """Send an order, unless the device was given up."""
        if self.lively and self.open:
            self._write(json.dumps(order, separators=(",", ":")).encode() + b"\n")

    def await_event(
        self, event: str, deadline: float, keep: Callable[[dict[str, Any]], None] = lambda _: None
    ) -> dict[str, Any] | None:
        """Wait for an answer until `deadline` (monotonic); None when the device is or becomes given up.

        The answer has `received`, seconds since 1970, when it came. Other answers before it go to `keep`.
        """
        while self.lively:
            try:
                answer = self._answers.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self.reason = f"no {event!r} from its probe in time{self._words()}"
                break
            if answer is None:
                self._threads[1].join(1.0)
                self.reason = f"its probe ended before {event!r}{self._words()}"
            elif answer["event"] == event:
                return answer
            else:
                keep(answer)
        return None

    def waiting(self) -> list[dict[str, Any]]:
        """Take the answers that are there already, without waiting."""
        taken: list[dict[str, Any]] = []
        with contextlib.suppress(queue.Empty):
            while (answer := self._answers.get_nowait()) is not None:
                taken.append(answer)
            self._answers.put(None)  # the end stays the end
        return taken

    def close(
        self, deadline: float, keep: Callable[[dict[str, Any]], None] = lambda _: None
    ) -> dict[str, Any] | None:
        """Order a stop, wait for the `bye`, end the process; return the bye, None when it did not come.

        A missing bye does not make `reason`: what was answered before stands.
        """
        process, self._process = self._process, None
        if process is None:
            return None
        was, bye = self.reason, None
        if not was:
            self._write(b'{"do":"stop"}\n')
            bye = self.await_event("bye", deadline, keep)
        self.reason = was
        self._hang_up(process)
        return bye

    def _hang_up(self, process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(OSError):  # what was unsent had no reader any more
            self._pipes[0].close()
        try:
            process.wait(3.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for thread in self._threads:
            thread.join(3.0)
        for stream in self._pipes[1:]:
            stream.close()


def _answer(line: bytes) -> dict[str, Any] | None:
    """Read one line from a program; None when it is something else, such as a login message."""
    try:
        answer = json.loads(line)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) and "event" in answer else None
