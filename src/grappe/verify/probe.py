"""The probe: one program that listens, shouts and reports on a device. Python 3.6, standard library only.

It is sent to the device's `python3` by `grappe.verify.conduct` and imports nothing of Grappe, for it runs
where Grappe is not installed (XCP-ng's dom0 has Python 3.6: hence quoted annotations and the old idioms).

It speaks JSON, one object a line: an order on standard input, an answer on standard output.

    {"do": "setup", "site": HEX4, "nonce": HEX8, "life": S, "ports": [...],
     "listen": [[POINT, INTERFACE], ...], "voices": [[VOICE, POINT, NETWORK, TAG], ...]}
        -> {"event": "ready", "time": T, "faces": {POINT: {...}}, "swept": [NAME, ...]}
    {"do": "shout", "seq": N, "spacing": S, "voices": [VOICE, ...]} -> {"event": "shouted", ...}
    {"do": "jumbo", "seq": N, "spacing": S, "pairs": [[VOICE, POINT, MAC, SIZE], ...]}
        -> {"event": "shouted", "seq": N, "sent": {VOICE: N}, "errors": {VOICE: TEXT}}
    {"do": "report"}  -> {"event": "report", "heard": [...], "drops": {...}, "time": T}
    {"do": "stop"}    -> {"event": "bye", "left": [NAME, ...]}

A frame has EtherType 0x88B5 (IEEE 802, local experimental) and the header `HEADER`; frames of another run
(nonce) are ignored. An end of input, a signal, or the end of its life makes it clean up and leave. Temporary
ports are removed by a guard process which outlives even kill -9 of the probe, and bear their expiry, so that
the next run sweeps what a power cut left.
"""

import array
import collections
import contextlib
import errno
import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from typing import Any, Dict  # noqa: UP035 - Python 3.6 has no dict[...]

Order = Dict[str, Any]  # noqa: UP006 - the same
Reply = Dict[str, object]  # noqa: UP006 - the same

ETHERTYPE = 0x88B5
MAGIC = b"GRPE"
PRESENCE, JUMBO = 1, 2
# magic, version, kind, site, nonce, voice, network, target point, sequence, payload bytes
HEADER = struct.Struct("!4sBB4s8sHHHIH")
VERSION = 1
NOBODY = 0xFFFF
SMALLEST = 46  # bytes of payload in the smallest Ethernet frame

# From linux/if_packet.h, linux/filter.h, linux/sockios.h: numbers that `socket` does not name.
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_STATISTICS, PACKET_AUXDATA = 263, 1, 6, 8
PACKET_MR_PROMISC, PACKET_OUTGOING, TP_STATUS_VLAN_VALID = 1, 4, 0x10
SO_ATTACH_FILTER, SO_RCVBUFFORCE, ETH_P_ALL = 26, 33, 3
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCGIFMTU, SIOCGIFHWADDR = 0x8913, 0x8914, 0x8921, 0x8927
IFF_UP, IFF_RUNNING, IFF_NOARP = 0x1, 0x40, 0x80
AUXDATA = struct.Struct("IIIHHHH")  # status, len, snaplen, mac, net, vlan_tci, vlan_tpid
VLAN_TYPES = (0x8100, 0x88A8)
SNAP = 96  # bytes of a frame that are copied to us; its length comes with the auxiliary data

MARK = "grappe-probe"  # key in external_ids of temporary ports; its value is the expiry, seconds since 1970


def filter_program() -> bytes:
    """Return the kernel filter: our EtherType alone, or behind one or two VLAN tags; the first SNAP bytes."""
    load, equal, answer = 0x28, 0x15, 0x06
    code = [
        (load, 0, 0, 12),
        (equal, 7, 0, ETHERTYPE),
        (equal, 1, 0, 0x8100),
        (equal, 0, 6, 0x88A8),
        (load, 0, 0, 16),
        (equal, 3, 0, ETHERTYPE),
        (equal, 0, 3, 0x8100),
        (load, 0, 0, 20),
        (equal, 0, 1, ETHERTYPE),
        (answer, 0, 0, SNAP),
        (answer, 0, 0, 0),
    ]
    return b"".join(struct.pack("HBBI", *line) for line in code)


def open_ear(interface: str) -> "socket.socket":
    """Open a passive, promiscuous raw socket on an interface; the filter is there before the first frame."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    program = array.array("B", filter_program())
    address, size = program.buffer_info()
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", size // 8, address))
    sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    with contextlib.suppress(OSError):  # more room than the limit: root may, a namespace's root may not
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
    sock.setblocking(False)
    sock.bind((interface, ETH_P_ALL))
    index = socket.if_nametoindex(interface)
    sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, struct.pack("iHH8s", index, PACKET_MR_PROMISC, 0, b""))
    return sock


def open_mouth(interface: str) -> "socket.socket":
    """Open a raw socket that only sends."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setblocking(False)
    sock.bind((interface, 0))
    return sock


def device_call(number: int, interface: str, value: bytes = b"") -> bytes:
    """Do one network device ioctl; return the answer's union (16 bytes). Raises OSError."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 0)) as sock:
        request = struct.pack("16s16s8s", interface.encode(), value, b"")
        return fcntl.ioctl(sock.fileno(), number, request)[16:32]


def face(interface: str) -> "Reply":
    """Tell what an interface is: {mac, mtu, up, carrier}, or {error} when there is none."""
    try:
        flags = struct.unpack("H", device_call(SIOCGIFFLAGS, interface)[:2])[0]
        mtu = struct.unpack("i", device_call(SIOCGIFMTU, interface)[:4])[0]
        mac = device_call(SIOCGIFHWADDR, interface)[2:8]
    except OSError as problem:
        return {"error": problem.strerror}
    text = ":".join(f"{byte:02x}" for byte in mac)
    return {"mac": text, "mtu": mtu, "up": bool(flags & IFF_UP), "carrier": bool(flags & IFF_RUNNING)}


def raise_silently(interface: str) -> None:
    """Bring a temporary port up so that the kernel says nothing on it: no IPv6, no ARP. Raises OSError."""
    path = f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"
    if os.path.exists("/proc/sys/net/ipv6"):  # noqa: PTH110 - Python 3.6 without pathlib starts faster
        with open(path, "w") as setting:  # noqa: PTH123 - the same
            setting.write("1")
    flags = struct.unpack("H", device_call(SIOCGIFFLAGS, interface)[:2])[0]
    device_call(SIOCSIFFLAGS, interface, struct.pack("H", flags | IFF_NOARP))
    device_call(SIOCSIFFLAGS, interface, struct.pack("H", flags | IFF_NOARP | IFF_UP))


def vsctl(*words: str) -> str:
    """Run ovs-vsctl; return its output. Raises OSError with its message when it fails or is not there."""
    done = subprocess.Popen(
        ("ovs-vsctl", "--timeout=20", *words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = done.communicate()
    if done.returncode:
        raise OSError(errno.EIO, "ovs-vsctl: " + err.decode("utf-8", "replace").strip())
    return out.decode("utf-8", "replace")


def expired_ports(listing: str, now: float) -> "list[str]":
    """Read `ovs-vsctl --format=json --columns=name,external_ids list Port`; name marked ports past expiry."""
    found = []
    for name, marks in json.loads(listing)["data"]:
        expiry = dict(marks[1]).get(MARK)
        if expiry is not None and (not expiry.isdigit() or int(expiry) < now):
            found.append(name)
    return found


def sweep() -> "list[str]":
    """Remove what earlier runs left past its expiry; return the names."""
    listing = vsctl("--format=json", "--columns=name,external_ids", "list", "Port")
    names = expired_ports(listing, time.time())
    remove_ports(names)
    return names


def remove_ports(names: "list[str]") -> None:
    """Delete ports in one transaction; those that are gone are no error."""
    words: list[str] = []
    for name in names:
        words += ["--", "--if-exists", "del-port", name]
    if words:
        vsctl(*words)


def bridge_mtu(bridge: str) -> int:
    """Return a bridge's MTU; 1500 where it cannot be read."""
    found = face(bridge).get("mtu", 1500)
    return found if isinstance(found, int) else 1500


def port_words(port: "Order", expiry: int) -> "list[str]":
    """Word the making of one temporary port: {name, bridge, trunks, mac, mtu}.

    The MTU is never below the bridge's: Open vSwitch gives a bridge the smallest MTU among its ports.
    """
    name, bridge, mac = str(port["name"]), str(port["bridge"]), str(port["mac"])
    mtu = max(int(port["mtu"]), bridge_mtu(bridge))
    words = ["--", "add-port", bridge, name, "vlan_mode=trunk", f"trunks={port['trunks']}"]
    words += [f"external_ids:{MARK}={expiry}", "--", "set", "interface", name, "type=internal"]
    return [*words, f"mtu_request={mtu}", f'mac="{mac}"']


def guard_ports(names: "list[str]", life: float) -> "tuple[int, int]":
    """Start the process that removes ports when this one ends in any way; return (pid, our pipe end)."""
    theirs, ours = os.pipe()
    pid = os.fork()
    if pid:
        os.close(theirs)
        return pid, ours
    try:
        os.close(ours)
        os.setsid()
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):  # else the session that started the probe would wait for us
            os.dup2(nowhere, standard)
        select.select([theirs], [], [], life)
        remove_ports(names)
    finally:
        os._exit(0)


def read_frame(data: bytes, auxiliary: bytes) -> "tuple[tuple[int, ...], bytes, int]":
    """Take a frame apart: VLAN tags from the outermost, payload as captured, payload's real length.

    The kernel strips the outer tag of a received frame into the auxiliary data; a sent frame may carry it
    still. A priority tag (VLAN 0) is no tag.
    """
    status, length, _, _, _, tci, _ = AUXDATA.unpack_from(auxiliary)
    tags = [tci & 0xFFF] if status & TP_STATUS_VLAN_VALID else []
    start = 12
    while struct.unpack_from("!H", data, start)[0] in VLAN_TYPES:
        tags.append(struct.unpack_from("!H", data, start + 2)[0] & 0xFFF)
        start += 4
    return tuple(tag for tag in tags if tag), data[start + 2 :], length - start - 2


def write_frame(target: bytes, source: bytes, tag: "int | None", header: bytes, size: int) -> bytes:
    """Put a frame together; `size` is its payload in bytes."""
    vlan = struct.pack("!HH", 0x8100, tag) if tag else b""
    return target + source + vlan + struct.pack("!H", ETHERTYPE) + header.ljust(size, b"\0")


def raw_mac(text: str) -> bytes:
    """Return a MAC address's six bytes."""
    return bytes(int(part, 16) for part in text.split(":"))


class Quit(Exception):  # noqa: N818 - not an error: the way out
    """Time to clean up and leave."""


class Probe:
    """One run: what it listens to, whom it speaks for, what it heard."""

    def __init__(self) -> None:
        self.ears: dict[int, tuple[int, socket.socket]] = {}
        self.mouths: dict[int, tuple[socket.socket, bytes]] = {}
        self.voices: dict[int, tuple[int, int, int | None]] = {}
        self.heard: dict[tuple[object, ...], list[float]] = {}
        self.drops: dict[int, int] = {}
        self.queue: collections.deque[tuple[int, int, int, bytes]] = collections.deque()
        self.sent: dict[str, int] = {}
        self.errors: dict[str, str] = {}
        self.sequence, self.spacing, self.next_send, self.shouting = 0, 0.0, 0.0, False
        self.names: list[str] = []
        self.guard: tuple[int, int] | None = None
        self.deadline = time.monotonic() + 60.0
        self.site, self.nonce = b"", b""
        self.poll = select.poll()
        self.input = b""

    # Orders

    def setup(self, order: "Order") -> "Reply":
        """Make the temporary ports, open the sockets, answer with the interfaces' faces."""
        self.site, self.nonce = bytes.fromhex(str(order["site"])), bytes.fromhex(str(order["nonce"]))
        life = float(order["life"])
        self.deadline = time.monotonic() + life
        swept, trouble = self.make_ports(order["ports"], life)
        listen = order["listen"]
        faces = {str(point): self.listen(point, interface, trouble) for point, interface in listen}
        for voice, point, network, tag in order["voices"]:
            self.voices[voice] = (point, network, tag)
        self.open_mouths(dict(listen), faces)
        return {"event": "ready", "time": time.time(), "faces": faces, "swept": swept, "trouble": trouble}

    def make_ports(self, ports: "list[Order]", life: float) -> "tuple[list[str], str]":
        """Sweep, then make and raise temporary ports; return (names swept, what went wrong)."""
        if not ports:
            return [], ""
        self.names = [str(port["name"]) for port in ports]
        swept: list[str] = []
        try:
            swept = sweep()
            self.guard = guard_ports(self.names, life + 10)
            expiry = int(time.time() + life + 60)
            vsctl(*[word for port in ports for word in port_words(port, expiry)])
            for name in self.names:
                raise_silently(name)
        except OSError as problem:
            return swept, problem.strerror or str(problem)
        return swept, ""

    def listen(self, point: int, interface: str, trouble: str) -> "Reply":
        """Open the ear of one point; return the interface's face, with `error` when it cannot be heard."""
        found = face(interface)
        if "error" in found:
            return {"error": trouble or found["error"]} if interface in self.names else found
        try:
            sock = open_ear(interface)
        except OSError as problem:
            found["error"] = problem.strerror
            return found
        self.ears[sock.fileno()] = (point, sock)
        self.poll.register(sock.fileno(), select.POLLIN)
        return found

    def open_mouths(self, interfaces: "dict[int, str]", faces: "dict[str, dict[str, object]]") -> None:
        """Open a sending socket for every point that has a voice and is there."""
        for point in {voice[0] for voice in self.voices.values()}:
            if "mac" in faces[str(point)]:
                self.mouths[point] = (open_mouth(interfaces[point]), raw_mac(str(faces[str(point)]["mac"])))

    def shout(self, order: "Order") -> None:
        """Queue one presence frame for each voice named."""
        self.begin(order)
        for voice in order["voices"]:
            self.queue.append((voice, NOBODY, SMALLEST, b"\xff" * 6))

    def jumbo(self, order: "Order") -> None:
        """Queue one full-size unicast frame for each pair named."""
        self.begin(order)
        for voice, target, mac, size in order["pairs"]:
            self.queue.append((voice, target, size, raw_mac(mac)))

    def begin(self, order: "Order") -> None:
        """Start a round of sending."""
        self.sequence, self.spacing = int(order["seq"]), float(order["spacing"])
        self.sent, self.errors = {}, {}
        self.shouting, self.next_send = True, time.monotonic()

    def report(self) -> "Reply":
        """Hand over what was heard since the last report."""
        self.drain()
        for point, sock in self.ears.values():
            lost = struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
            if lost:
                self.drops[point] = self.drops.get(point, 0) + lost
        heard = [list(key) + value for key, value in self.heard.items()]
        self.heard = {}
        drops = {str(point): lost for point, lost in self.drops.items()}
        return {"event": "report", "heard": heard, "drops": drops, "time": time.time()}

    # The wire

    def drain(self) -> None:
        """Read every ear until it is empty."""
        for fileno in self.ears:
            self.hear(fileno)

    def hear(self, fileno: int) -> None:
        """Read one ear until it is empty."""
        point, sock = self.ears[fileno]
        while True:
            try:
                data, extra, _, address = sock.recvmsg(SNAP, 64)
            except BlockingIOError:
                return
            except OSError as problem:  # the interface went down or away: said by its face at the end
                if problem.errno in (errno.ENETDOWN, errno.ENODEV, errno.ENXIO):
                    return
                raise
            self.note(point, data, extra[0][2] if extra else b"\0" * AUXDATA.size, address[2])

    def note(self, point: int, data: bytes, auxiliary: bytes, packet_type: int) -> None:
        """Count one frame, when it is of this run."""
        tags, payload, size = read_frame(data, auxiliary)
        if len(payload) < HEADER.size:
            return
        magic, version, kind, site, nonce, voice, network, target, sequence, _ = HEADER.unpack_from(payload)
        if (magic, version, site, nonce) != (MAGIC, VERSION, self.site, self.nonce):
            return
        direction = "out" if packet_type == PACKET_OUTGOING else "in"
        key = (point, voice, network, kind, target, ".".join(str(tag) for tag in tags), direction)
        now = time.time()
        entry = self.heard.setdefault(key, [0, now, now, 0, sequence])
        entry[0] += 1
        entry[2:] = [now, max(size, entry[3]), sequence]

    def send_next(self) -> None:
        """Send the next queued frame; a frame the kernel refuses is noted with its reason."""
        voice, target, size, mac = self.queue.popleft()
        point, network, tag = self.voices[voice]
        kind = PRESENCE if target == NOBODY else JUMBO
        name = str(voice) if target == NOBODY else f"{voice}>{target}"
        header = HEADER.pack(
            MAGIC, VERSION, kind, self.site, self.nonce, voice, network, target, self.sequence, size & 0xFFFF
        )
        try:
            sock, source = self.mouths[point]
            sock.send(write_frame(mac, source, tag, header, size))
            self.sent[name] = self.sent.get(name, 0) + 1
        except KeyError:
            self.errors[name] = "no such interface"
        except OSError as problem:
            self.errors[name] = problem.strerror or str(problem)
        self.next_send = max(time.monotonic(), self.next_send + self.spacing)

    # The loop

    def run(self) -> None:
        """Serve orders until the input ends, a stop, a signal, or the end of its life."""
        self.poll.register(0, select.POLLIN | select.POLLHUP)
        try:
            while True:
                self.turn()
        except Quit:
            pass
        finally:
            left = self.clean()
        say({"event": "bye", "left": left})

    def turn(self) -> None:
        """Wait for the next thing to do, and do it."""
        now = time.monotonic()
        if now >= self.deadline:
            raise Quit
        until = min(self.deadline, self.next_send) if self.queue else self.deadline
        for fileno, _ in self.poll.poll(max(0.0, min(until - now, 1.0)) * 1000):
            if fileno == 0:
                self.obey()
            else:
                self.hear(fileno)
        if self.queue and time.monotonic() >= self.next_send:
            self.send_next()
        if self.shouting and not self.queue:
            self.shouting = False
            say({"event": "shouted", "seq": self.sequence, "sent": self.sent, "errors": self.errors})

    def obey(self) -> None:
        """Read orders and carry them out."""
        chunk = os.read(0, 1 << 16)
        if not chunk:
            raise Quit
        *lines, self.input = (self.input + chunk).split(b"\n")
        for line in lines:
            self.carry_out(json.loads(line.decode("utf-8")))

    def carry_out(self, order: "Order") -> None:
        """Carry out one order."""
        if order["do"] == "setup":
            say(self.setup(order))
        elif order["do"] == "shout":
            self.shout(order)
        elif order["do"] == "jumbo":
            self.jumbo(order)
        elif order["do"] == "report":
            say(self.report())
        elif order["do"] == "stop":
            raise Quit

    def clean(self) -> "list[str]":
        """Let the guard remove our ports; return the names of those that stayed."""
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        for _, sock in self.ears.values():
            sock.close()
        for sock, _ in self.mouths.values():
            sock.close()
        if self.guard:
            os.close(self.guard[1])
            os.waitpid(self.guard[0], 0)
        return [name for name in self.names if "error" not in face(name)]


def say(answer: "Reply") -> None:
    """Write one answer; whoever no longer reads it has left."""
    data = (json.dumps(answer, separators=(",", ":")) + "\n").encode("utf-8")
    try:
        while data:
            data = data[os.write(1, data) :]
    except BrokenPipeError:
        raise Quit from None


def leave(_number: int, _frame: object) -> None:
    """Turn a signal into the orderly way out."""
    raise Quit


def main() -> None:
    """Run the probe on this process's standard input and output."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    probe = Probe()
    with contextlib.suppress(Quit):
        probe.run()
    sys.exit(0)


if __name__ == "__main__":
    main()
