"""Wire proof: which interface the bytes really went over, from counters read before and after. Pure.

The counters come from /proc/net/dev (proc(5)), which every Linux has and which belongs to the network
namespace of who reads it, unlike a /sys mounted elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import astuple, dataclass

from grappe.model.script import Answer, Command, command


@dataclass(frozen=True, slots=True)
class Counters:
    """What an interface has counted since it was made: bytes, packets, drops, each received and sent."""

    received: int = 0
    sent: int = 0
    received_packets: int = 0
    sent_packets: int = 0
    received_drops: int = 0
    sent_drops: int = 0

    @property
    def total(self) -> int:
        """Bytes in both directions."""
        return self.received + self.sent


Reading = Mapping[str, Counters]
"""A device's counters, by interface."""


def read() -> Command:
    """Return the command that reads a device's counters."""
    return command("cat", "/proc/net/dev")


def understand(answer: Answer) -> Reading:
    """Parse what `read` answered. Raises ValueError when it is not the kernel's table."""
    lines = answer.out.splitlines()
    if not answer.ok or len(lines) < 2 or "Receive" not in lines[0]:
        what = (answer.err or answer.out).strip() or "nothing"
        raise ValueError(f"/proc/net/dev: expected the kernel's table of interfaces, found: {what[:200]}")
    return dict(_row(line) for line in lines[2:] if ":" in line)


def _row(line: str) -> tuple[str, Counters]:
    name, _, rest = line.partition(":")
    field = [int(text) for text in rest.split()]
    return name.strip(), Counters(field[0], field[8], field[1], field[9], field[3], field[11])


def moved(before: Reading, after: Reading) -> Reading:
    """Return what each interface carried in between.

    An interface that is new, or was made anew (its counters went back), counts from zero; one that is gone
    is left out.
    """
    return {name: _since(before.get(name, Counters()), now) for name, now in after.items()}


def _since(then: Counters, now: Counters) -> Counters:
    old, new = astuple(then), astuple(now)
    if any(after < before for before, after in zip(old, new, strict=True)):
        return now
    return Counters(*(after - before for before, after in zip(old, new, strict=True)))


@dataclass(frozen=True, slots=True)
class WireProof:
    """The verdict for one device: `share` of `total` bytes went over the interfaces that should carry
    them."""

    device: str
    over: tuple[str, ...]
    carried: int
    total: int
    ok: bool
    idle: tuple[str, ...]
    elsewhere: tuple[tuple[str, int], ...]

    @property
    def share(self) -> float:
        """Between 0 and 1; 0 when nothing was carried at all."""
        return self.carried / self.total if self.total else 0.0

    def __str__(self) -> str:
        """The verdict as a sentence."""
        amounts = f"{_amount(self.carried)} of {_amount(self.total)}"
        text = f"{self.device}: {amounts} went over {', '.join(self.over)}"
        if self.elsewhere:
            text += "; " + ", ".join(f"{_amount(size)} over {name}" for name, size in self.elsewhere)
        if self.idle:
            text += f"; unproved, for it carried nothing: {', '.join(self.idle)}"
        return text


def _amount(size: int) -> str:
    """Write a number of bytes as people read it: three digits and a unit."""
    amount, units = float(size), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1000 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    return f"{amount:.3g} {units[0]}"


def prove(
    device: str,
    carried: Reading,
    over: Collection[str],
    among: Collection[str],
    *,
    at_least: int = 1,
    share: float = 0.9,
) -> WireProof:
    """Judge where bytes went: `over` should have carried them, `among` are all interfaces that could have.

    Holds when `over` carried at least `at_least` bytes and at least `share` of what all of them carried. A
    bond's members are given as `over` together: one that carried nothing is named as unproved (`idle`).
    Count uplinks only: a bridge and the ports in it count the same bytes twice.
    """
    sizes = {name: carried.get(name, Counters()).total for name in {*over, *among}}
    right = sum(sizes[name] for name in over)
    total = sum(sizes.values())
    return WireProof(
        device=device,
        over=tuple(sorted(over)),
        carried=right,
        total=total,
        ok=right >= max(1, at_least) and right >= share * total,
        idle=tuple(sorted(name for name in over if not sizes[name])),
        elsewhere=tuple(sorted((name, size) for name, size in sizes.items() if name not in over and size)),
    )
