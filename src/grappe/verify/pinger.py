"""The pinger: asks one address every few milliseconds and notes when answers come. Python 3.6, standard
library.

It is sent to the device's `python3` by `grappe.verify.outage` and imports nothing of Grappe. It speaks
JSON, one object a line:

    {"do": "start", "how": "icmp", "target": "192.168.10.1", "interface": "", "interval": 0.01, "life": 600}
        -> {"event": "ready", "time": T, "clock": C}     then, every fifth of a second,
           {"event": "news", "sent": [...], "answers": [...]}
    {"do": "stop"}  -> {"event": "bye", "sent": [...], "answers": [...], "clock": C}

Times are seconds on the device's monotonic clock; `ready` gives both clocks at once. `icmp` sends echo
requests through the host's own addresses and routes; `arp` sends ARP probes (RFC 5227, sender address
0.0.0.0: nobody's cache learns anything) out of one interface, which needs no address there.
"""

import array
import contextlib
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from typing import Any, Dict  # noqa: UP035 - Python 3.6 has no dict[...]

Order = Dict[str, Any]  # noqa: UP006 - the same

ARP, ICMP_ECHO, ICMP_ANSWER = 0x0806, 8, 0
SO_BINDTODEVICE, SO_RCVBUFFORCE = 25, 33
NEWS, LINGER = 0.2, 1.0  # seconds: between two reports; after a stop, for answers under way


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    words = array.array("H", data + b"\0" * (len(data) % 2))
    total = sum(words)
    total = (total >> 16) + (total & 0xFFFF)
    total += total >> 16
    return socket.htons(~total & 0xFFFF)


class Echo:
    """Asks by ICMP echo; the number of the ping travels in its payload."""

    def __init__(self, target: str, interface: str) -> None:
        self.target, self.mark = target, os.urandom(4)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        if interface:
            self.sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, interface.encode() + b"\0")
        self.sock.setblocking(False)

    def ask(self, number: int) -> None:
        """Send ping `number`. Raises OSError."""
        body = self.mark + struct.pack("!I", number)
        head = struct.pack("!BBHHH", ICMP_ECHO, 0, 0, os.getpid() & 0xFFFF, number & 0xFFFF)
        total = checksum(head + body)
        head = struct.pack("!BBHHH", ICMP_ECHO, 0, total, os.getpid() & 0xFFFF, number & 0xFFFF)
        self.sock.sendto(head + body, (self.target, 0))

    def answer(self, data: bytes) -> "int | None":
        """Return the number of the ping that a packet answers; None when it answers none of ours."""
        start = (data[0] & 15) * 4
        body = data[start + 8 : start + 16]
        if len(body) < 8 or data[start] != ICMP_ANSWER or body[:4] != self.mark:
            return None
        return int(struct.unpack("!I", body[4:])[0])


class Arp:
    """Asks by ARP probes from an interface; an answer is counted for the latest ping."""

    def __init__(self, target: str, interface: str) -> None:
        self.address = socket.inet_aton(target)
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.sock.setblocking(False)
        self.sock.bind((interface, ARP))
        self.mac = self.sock.getsockname()[4]
        self.latest = -1

    def ask(self, number: int) -> None:
        """Send probe `number`. Raises OSError."""
        frame = b"\xff" * 6 + self.mac + struct.pack("!HHHBBH", ARP, 1, 0x0800, 6, 4, 1)
        self.sock.send((frame + self.mac + b"\0" * 4 + b"\0" * 6 + self.address).ljust(60, b"\0"))
        self.latest = number

    def answer(self, data: bytes) -> "int | None":
        """Return the latest ping's number for a reply from the target to us."""
        ours = data[20:22] == b"\0\x02" and data[28:32] == self.address and data[32:38] == self.mac
        return self.latest if ours else None


class Quit(Exception):  # noqa: N818 - not an error: the way out
    """Time to leave."""


class Pinger:
    """One watch."""

    def __init__(self) -> None:
        self.asker: Any = None
        self.sent: list[float] = []
        self.answers: list[float] = []
        self.seen = -1
        self.number, self.interval, self.next_send, self.next_news = 0, 0.01, 0.0, 0.0
        self.deadline = time.monotonic() + 60.0
        self.input = b""

    def start(self, order: "Order") -> None:
        """Open the socket and begin."""
        kind = Arp if order["how"] == "arp" else Echo
        self.asker = kind(order["target"], order["interface"])
        with contextlib.suppress(OSError):
            self.asker.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
        self.interval = float(order["interval"])
        now = time.monotonic()
        self.deadline, self.next_send, self.next_news = now + float(order["life"]), now, now + NEWS
        say({"event": "ready", "time": time.time(), "clock": now})

    def run(self) -> None:
        """Serve until the input ends, a stop, a signal, or the end of its life."""
        with contextlib.suppress(Quit):
            while True:
                self.turn(True)
        end = time.monotonic()
        while self.asker and time.monotonic() < end + LINGER and self.waits():
            self.turn(False)
        say({"event": "bye", "clock": time.monotonic(), "sent": self.sent, "answers": self.answers})

    def waits(self) -> bool:
        """Tell whether the last ping sent is still without an answer."""
        return self.seen < self.number - 1

    def turn(self, asking: bool) -> None:
        """Wait for the next thing to do, and do it."""
        now = time.monotonic()
        if asking and now >= self.deadline:
            raise Quit
        until = self.next_send if asking and self.asker else now + 0.1
        readable = [0] if asking else []
        readable += [self.asker.sock.fileno()] if self.asker else []
        ready = select.select(readable, [], [], max(0.0, until - now))[0]
        if self.asker and self.asker.sock.fileno() in ready:
            self.listen()
        if asking and 0 in ready:
            self.obey()
        if asking and self.asker:
            self.ask()

    def ask(self) -> None:
        """Send a ping when it is time, report when it is time."""
        now = time.monotonic()
        if now >= self.next_send:
            with contextlib.suppress(OSError):  # no route, no buffer, link down: that is the outage
                self.asker.ask(self.number)
            self.sent.append(now)
            self.number += 1
            self.next_send = max(self.next_send + self.interval, now)
        if now >= self.next_news:
            say({"event": "news", "sent": self.sent, "answers": self.answers})
            self.sent, self.answers, self.next_news = [], [], now + NEWS

    def listen(self) -> None:
        """Read answers until there are none; each ping counts once."""
        while True:
            try:
                data = self.asker.sock.recv(2048)
            except OSError:
                return
            number = self.asker.answer(data)
            if number is not None:
                self.note(number)

    def note(self, number: int) -> None:
        """Count an answer that is not a second one to the same ping."""
        if number > self.seen:
            self.seen = number
            self.answers.append(time.monotonic())

    def obey(self) -> None:
        """Read orders and carry them out."""
        chunk = os.read(0, 1 << 16)
        if not chunk:
            raise Quit
        *lines, self.input = (self.input + chunk).split(b"\n")
        for line in lines:
            order = json.loads(line.decode("utf-8"))
            if order["do"] == "stop":
                raise Quit
            self.start(order)


def say(answer: "Order") -> None:
    """Write one answer; whoever no longer reads it has left."""
    data = (json.dumps(answer, separators=(",", ":")) + "\n").encode("utf-8")
    try:
        while data:
            data = data[os.write(1, data) :]
    except BrokenPipeError:
        sys.exit(0)


def leave(_number: int, _frame: object) -> None:
    """Turn a signal into the orderly way out."""
    raise Quit


def main() -> None:
    """Run the pinger on this process's standard input and output."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        Pinger().run()
    except OSError as problem:
        sys.exit(f"cannot ping: {problem.strerror or problem}")


if __name__ == "__main__":
    main()
