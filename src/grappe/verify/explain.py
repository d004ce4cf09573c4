"""From the cells of a roll call to sentences: which point or cable is to blame, and for what. Pure.

Wrong cells come in crowds: one port on the wrong VLAN spoils every cell of its row and its column. So the
culprits are chosen greedily: the point, the device on one network, or the network as a whole that explains
most of the cells left, until none are left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from grappe.verify.rollcall import Cell, Heard, Jumbo, Kind, Plan, Point, RollCall, State, Tags

Place = tuple[int, int]
"""A cell's place: voice, point."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, what was expected, what was seen, the likely cause ("" if unknown)."""

    state: State
    device: str
    interface: str
    networks: tuple[str, ...]
    expected: str
    seen: str
    cause: str = ""

    def __str__(self) -> str:
        """The problem as a sentence or two."""
        where = f"{self.device} {self.interface}".strip()
        text = f"{where}: expected {self.expected}; seen: {self.seen}."
        return text + (f" Likely cause: {self.cause}." if self.cause else "")


def problems(call: RollCall) -> tuple[Problem, ...]:
    """Explain a roll call: leaks and deafness, then full-size frames, then what could not be proved."""
    found = [_explain(call, culprit, places) for culprit, places in culprits(call)]
    found.sort(key=lambda problem: problem.state is not State.LEAK)
    return (*found, *_jumbo_problems(call), *_unproved(call), *_leftovers(call))


# Who is to blame

ALL = ""
"""In place of a device or a network in a culprit: all of them."""


@dataclass(frozen=True, slots=True)
class Culprit:
    """Whom to blame: a point (`point` ≥ 0), or a cut around a device (all: "") on a network (all: "")."""

    point: int = -1
    device: str = ""
    network: str = ""


def culprits(call: RollCall) -> list[tuple[Culprit, list[Place]]]:
    """Share the wrong cells out among as few culprits as the greedy choice finds, largest first."""
    left = {
        (voice, point): cell
        for voice, row in enumerate(call.cells)
        for point, cell in enumerate(row)
        if cell.state in (State.LEAK, State.DEAF)
    }
    sound = _sound_cuts(call)
    chosen: list[tuple[Culprit, list[Place]]] = []
    while left:
        blamed: dict[Culprit, list[Place]] = {}
        for place, cell in left.items():
            for culprit in _suspects(call.plan, place, cell, sound):
                blamed.setdefault(culprit, []).append(place)
        best = max(blamed, key=lambda culprit: (len(blamed[culprit]), culprit.point >= 0))
        chosen.append((best, blamed[best]))
        for place in blamed[best]:
            del left[place]
    return chosen


def _suspects(plan: Plan, place: Place, cell: Cell, sound: set[Culprit]) -> list[Culprit]:
    """Name everybody who could have spoiled a cell."""
    voice, point = place
    speaker, listener = plan.voices[voice], plan.points[point]
    suspects = [Culprit(point=speaker.point), Culprit(point=point)]
    if cell.state is State.DEAF:
        ends = {
            ALL,
            plan.points[speaker.point].device,
            listener.device,
            listener.peer[0] if listener.peer else ALL,
        }
        cuts = [Culprit(device=d, network=name) for d in sorted(ends) for name in (speaker.network, ALL)]
        suspects += [cut for cut in cuts if cut in sound]
    return suspects


def _sound_cuts(call: RollCall) -> set[Culprit]:
    """Name the cuts that nothing contradicts: no host's or guest's port heard anything across them."""
    plan, heard, across = call.plan, set[Culprit](), set[Culprit]()
    for voice, row in enumerate(call.cells):
        here, network = plan.speaker(voice).device, plan.voices[voice].network
        for point, cell in enumerate(row):
            there = plan.points[point]
            if there.device == here or there.kind not in (Kind.HOST_PORT, Kind.GUEST_PORT):
                continue
            cuts = [Culprit(device=d, network=n) for d in (here, there.device, ALL) for n in (network, ALL)]
            across.update(cuts if cell.state is State.DEAF else ())
            heard.update(cuts if cell.state is State.HEARD else ())
    whole = {cut for cut in across if cut.device == ALL and _devices_on(plan, cut.network) < 3}
    return across - heard - whole


def _devices_on(plan: Plan, network: str) -> int:
    """Count the devices that speak on a network: with two, a cut names one of them, not the network."""
    return len({plan.speaker(n).device for n, v in enumerate(plan.voices) if network in (v.network, ALL)})


# What to say of them


def _explain(call: RollCall, culprit: Culprit, places: list[Place]) -> Problem:
    if culprit.point >= 0:
        return _point_problem(call, culprit.point, places)
    if culprit.device:
        return _cut_problem(call, culprit.device, culprit.network)
    return Problem(
        State.DEAF,
        "all devices",
        "",
        (culprit.network,),
        f"{_named(call.plan, culprit.network)} to pass between them",
        "it does not pass between any two of them",
        "the VLAN is missing on the switch between them" if culprit.network else "the switch between them",
    )


def _named(plan: Plan, network: str) -> str:
    """Name a network with its VLAN."""
    if network == ALL:
        return "every network"
    tag = plan.tag(network)
    return f"{network} (VLAN {tag})" if tag else f"{network} (untagged)"


def _form(tags: Tags) -> str:
    """Say how frames came: untagged, or behind which tag."""
    return f"with tag {'.'.join(str(tag) for tag in tags)}" if tags else "untagged"


_MOST = 6
"""Names in a list before the rest is only counted."""


def _list(names: Iterable[str]) -> str:
    """List names, the first few in full."""
    every = sorted(set(names))
    rest = len(every) - _MOST
    return ", ".join(every[:_MOST]) + (f" and {rest} more" if rest > 0 else "")


def _carried(point: Point) -> str:
    """Say what a point ought to see."""
    parts = [f"{network} {_form((tag,) if tag else ())}" for network, tag in point.carries]
    rest = len(parts) - _MOST
    return (
        "only " + ", ".join(parts[:_MOST]) + (f" and {rest} more" if rest > 0 else "") if parts else "nothing"
    )


@dataclass(frozen=True, slots=True)
class _Case:
    """The wrong cells around one point, sorted.

    `leaks`: networks seen here that must not be, with their tags; `distorted`: networks that belong here,
    with wrong tags; `deaf`: networks not heard here; `strays`, `mute`: points which its own voice reaches
    and must not, or does not reach.
    """

    plan: Plan
    point: Point
    leaks: dict[str, set[Tags]]
    deaf: frozenset[str]
    strays: frozenset[str]
    mute: frozenset[str]
    distorted: dict[str, set[Tags]]


def _case(call: RollCall, number: int, places: list[Place]) -> _Case:
    plan = call.plan
    leaks: dict[str, set[Tags]] = {}
    distorted: dict[str, set[Tags]] = {}
    deaf, strays, mute = set[str](), set[str](), set[str]()
    for voice, point in places:
        cell, network = call.cells[voice][point], plan.voices[voice].network
        if point != number:
            (strays if cell.state is State.LEAK else mute).add(str(plan.points[point]))
        elif plan.expected(voice, point) is not None and cell.frames:
            distorted.setdefault(network, set()).update(frame.tags for frame in cell.frames)
        elif cell.state is State.LEAK:
            leaks.setdefault(network, set()).update(frame.tags for frame in cell.frames)
        else:
            deaf.add(network)
    frozen = frozenset(deaf), frozenset(strays), frozenset(mute)
    return _Case(plan, plan.points[number], leaks, *frozen, distorted)


def _point_problem(call: RollCall, number: int, places: list[Place]) -> Problem:
    case = _case(call, number, places)
    leaking = any(call.cells[voice][point].state is State.LEAK for voice, point in places)
    networks = {call.plan.voices[voice].network for voice, _ in places}
    return Problem(
        State.LEAK if leaking else State.DEAF,
        case.point.device,
        str(case.point).partition(" ")[2],
        tuple(sorted(networks)),
        _carried(case.point),
        "; ".join(_sightings(case)),
        _point_cause(call, number, case),
    )


def _sightings(case: _Case) -> list[str]:
    """Say what was seen around a point, leaks first."""
    seen = []
    for network, tags in sorted((case.leaks | case.distorted).items()):
        seen.append(f"{network} {' and '.join(_form(tag) for tag in sorted(tags))}")
    if case.deaf:
        seen.append(f"nothing of {_list(case.deaf)}")
    if case.strays:
        seen.append(f"its own frames at {_list(case.strays)}, which must not get them")
    if case.mute:
        seen.append(f"its own frames not at {_list(case.mute)}")
    return seen


def _point_cause(call: RollCall, number: int, case: _Case) -> str:
    """Name the likely cause of what is wrong around a point."""
    reasons: list[Callable[[], str]] = [
        lambda: _down(call, number),
        lambda: _tagless(case),
        lambda: _native(call, number, case),
        lambda: _misplaced(case),
        lambda: _elsewhere(call, number, case),
        lambda: _too_wide(case),
        lambda: _astray(case),
    ]
    return next((cause for reason in reasons if (cause := reason())), "")


def _down(call: RollCall, number: int) -> str:
    report = call.reports.get(call.plan.points[number].device)
    face = report.faces.get(number) if report else None
    if face is None or face.error or (face.up and face.carrier):
        return ""
    return (
        "the interface is down"
        if not face.up
        else "the interface has no carrier: its other end is down or unplugged"
    )


def _tagless(case: _Case) -> str:
    """An access port that gets tagged frames is a trunk."""
    tags = {tag for every in (case.leaks | case.distorted).values() for form in every for tag in form}
    access = case.point.kind in (Kind.HOST_PORT, Kind.GUEST_PORT)
    if not access or not tags or any(tag for _, tag in case.point.carries):
        return ""
    return f"the port has no tag of its own, so it is a trunk that gets every VLAN ({_numbers(tags)} seen)"


def _numbers(tags: Iterable[int]) -> str:
    return ", ".join(str(tag) for tag in sorted(tags))


def _native(call: RollCall, number: int, case: _Case) -> str:
    """Two ends of a cable that differ in what is untagged: seen on a trunk, or by a port behind it."""
    plan = call.plan
    if case.point.kind in (Kind.UPLINK, Kind.SWITCH_PORT):
        both = case.leaks | case.distorted
        crossed = [network for network, forms in both.items() if () in forms and plan.tag(network)]
        return (
            f"{_list(crossed)} is untagged there: the cable's ends differ in the native VLAN"
            if crossed
            else ""
        )
    uplinks = {
        n for n, p in enumerate(plan.points) if p.device == case.point.device and p.kind is Kind.UPLINK
    }
    fine = any(
        call.cells[voice][uplink].state is State.HEARD
        for voice, spoken in enumerate(plan.voices)
        for uplink in uplinks
        if spoken.point == number
    )
    if not (fine and case.strays and case.leaks):
        return ""
    names = _list(plan.points[uplink].interface for uplink in uplinks)
    return f"its frames leave {names} as declared: the other end of that cable has another native VLAN"


def _astray(case: _Case) -> str:
    """A port that is up, hears nothing of its network and is not heard on it."""
    if case.leaks or case.distorted or case.strays or not case.deaf or len(case.point.carries) != 1:
        return ""
    name = _named(case.plan, case.point.carries[0][0])
    return f"the port is not on {name}: it has a tag that no network here has, or is on no bridge"


def _misplaced(case: _Case) -> str:
    """A port that is on another network than declared."""
    others = [network for network, forms in case.leaks.items() if forms == {()}]
    if len(others) != 1 or len(case.point.carries) != 1 or not (case.deaf or case.mute):
        return ""
    here, there = case.point.carries[0][0], others[0]
    return f"the port is on {_named(case.plan, there)} instead of {_named(case.plan, here)}"


def _elsewhere(call: RollCall, number: int, case: _Case) -> str:
    """A voice whose frames leave with another tag than declared, as an uplink or a trunk sees it."""
    if not (case.mute or case.strays):
        return ""
    wrong: Counter[Tags] = Counter()
    for voice, row in enumerate(call.cells):
        if call.plan.voices[voice].point == number:
            for point, cell in enumerate(row):
                expected = call.plan.expected(voice, point)
                trunk = call.plan.points[point].kind in (Kind.UPLINK, Kind.SWITCH_PORT)
                wrong.update(frame.tags for frame in cell.frames if trunk and frame.tags != expected)
    if not wrong:
        return ""
    form = _form(wrong.most_common(1)[0][0])
    return f"its frames leave {form}: the port has a wrong tag, or a trunk a wrong native VLAN"


def _too_wide(case: _Case) -> str:
    """A trunk that carries more than was declared."""
    if case.point.kind in (Kind.HOST_PORT, Kind.GUEST_PORT) or not case.leaks:
        return ""
    return f"the trunk lets through what is not declared on it: {_list(case.leaks)}"


# Cuts: a device that a network does not reach


def _cut_problem(call: RollCall, device: str, network: str) -> Problem:
    plan = call.plan
    uplinks = [n for n, p in enumerate(plan.points) if p.device == device and p.kind is Kind.UPLINK]
    uplinks = [n for n in uplinks if network == ALL or network in dict(plan.points[n].carries)]
    passing = "passes neither way" if _speaks(plan, device, network) else "does not arrive"
    return Problem(
        State.DEAF,
        device,
        "",
        (network,) if network else tuple(name.name for name in plan.networks),
        f"{_named(plan, network)} between it and the others",
        f"{network} {passing}" if network else "nothing passes, on any network",
        _cut_cause(call, device, network, uplinks),
    )


def _speaks(plan: Plan, device: str, network: str) -> bool:
    spoken = {voice.network for n, voice in enumerate(plan.voices) if plan.speaker(n).device == device}
    return network in spoken or (network == ALL and bool(spoken))


def _cut_cause(call: RollCall, device: str, network: str, uplinks: list[int]) -> str:
    """Find how far the frames came: past the switch's port, along the cable, into the bridge."""
    if not uplinks:
        return "no uplink of it is declared to carry the network"
    names = _list(call.plan.points[number].interface for number in uplinks)
    far = [n for n, p in enumerate(call.plan.points) if p.peer and p.peer[0] == device and p.device != device]
    if down := next((cause for number in (*uplinks, *far) if (cause := _down(call, number))), ""):
        return f"{names} or its other end: {down}"
    what = "the VLAN is" if network else "every VLAN is"
    if _passed(call, uplinks, network, device, inward=True):
        return f"frames arrive at {device} {names} but not behind it: {what} missing on that uplink's port"
    if not _passed(call, uplinks, network, device, inward=False) and _speaks(call.plan, device, network):
        return f"frames neither leave nor enter by {names}: {what} missing on that uplink's port"
    return _far_cause(call, device, network, names, far)


def _far_cause(call: RollCall, device: str, network: str, names: str, far: list[int]) -> str:
    """The uplink is in order: look at the switch's port at the other end, when somebody listened there."""
    if not far:
        return f"its own frames leave by {names}, none come back: the VLAN is missing on the port facing it"
    ports = _list(str(call.plan.points[number]) for number in far)
    if _passed(call, far, network, device, inward=False):
        return f"frames leave {ports} and never arrive at {names}: lost on the cable between them"
    return f"{ports} does not let them through: the VLAN is missing on that port of the switch"


def _passed(call: RollCall, points: list[int], network: str, device: str, *, inward: bool) -> bool:
    """Tell whether frames were seen: `inward`, those of other devices; else whatever went out."""
    return any(
        _seen(call.cells[voice][point].frames, inward)
        for voice, spoken in enumerate(call.plan.voices)
        if network in (spoken.network, ALL) and (not inward or call.plan.speaker(voice).device != device)
        for point in points
    )


def _seen(frames: Iterable[Heard], inward: bool) -> bool:
    return any(frame.inward is inward for frame in frames)


# Full-size frames


def _jumbo_problems(call: RollCall) -> list[Problem]:
    """Group the lost full-size frames by network and by the device they have in common."""
    lost: dict[str, list[Jumbo]] = {}
    for jumbo in call.jumbo:
        voice = call.plan.voices[jumbo.pair.voice]
        small = call.cells[jumbo.pair.voice][jumbo.pair.target].state
        if (
            jumbo.state is State.DEAF and small is State.HEARD
        ):  # else small frames are lost too, as said above
            lost.setdefault(voice.network, []).append(jumbo)
    found = []
    for network, group in lost.items():
        while group:
            device, direction, share = _common(call, network, group)
            found.append(_jumbo_problem(call, network, device, direction, share))
            group = [jumbo for jumbo in group if jumbo not in share]
    return found


def _ends(call: RollCall, jumbo: Jumbo) -> tuple[str, str]:
    """Name the devices a full-size frame goes from and to."""
    return call.plan.speaker(jumbo.pair.voice).device, call.plan.points[jumbo.pair.target].device


def _common(call: RollCall, network: str, lost: list[Jumbo]) -> tuple[str, str, list[Jumbo]]:
    """Find the device and direction that most lost frames share."""
    tried = Counter(_ends(call, jumbo) for jumbo in call.jumbo if _network(call, jumbo) == network)
    if len(lost) == sum(tried.values()) and len(lost) > 2:
        return "", "between all devices", lost
    shares: dict[tuple[str, str], list[Jumbo]] = {}
    for jumbo in lost:
        source, target = _ends(call, jumbo)
        shares.setdefault((source, "from"), []).append(jumbo)
        shares.setdefault((target, "towards"), []).append(jumbo)
    device, direction = max(shares, key=lambda key: (len(shares[key]), key[1] == "towards"))
    share = shares[device, direction]
    other = shares.get((device, "from" if direction == "towards" else "towards"), [])
    if other and len(other) == len(share):
        return device, "towards and from it", share + other
    return device, f"{direction} it only", share


def _network(call: RollCall, jumbo: Jumbo) -> str:
    return call.plan.voices[jumbo.pair.voice].network


def _jumbo_problem(call: RollCall, network: str, device: str, direction: str, share: list[Jumbo]) -> Problem:
    mtu = share[0].mtu
    refused = next((jumbo.reason for jumbo in share if jumbo.reason), "")
    pairs = _list(" to ".join(_ends(call, jumbo)) for jumbo in share)
    return Problem(
        State.DEAF,
        device or "all devices",
        "",
        (network,),
        f"frames of {network}'s full MTU {mtu} in both directions",
        f"they are lost {direction} ({pairs}), small frames are not" + (f"; {refused}" if refused else ""),
        _small_mtu(call, network, mtu, device) or f"an MTU below {mtu} {direction}".removesuffix(" only"),
    )


def _small_mtu(call: RollCall, network: str, mtu: int, device: str) -> str:
    """Name the interfaces on the way whose own MTU is too small; those of the blamed device and its cable
    first."""
    small = [
        (point, report.faces[number].mtu)
        for number, point in enumerate(call.plan.points)
        if network in dict(point.carries)
        and (report := call.reports.get(point.device))
        and number in report.faces
        and 0 < report.faces[number].mtu < mtu
        and point.kind is not Kind.GUEST_PORT
    ]
    near = [item for item in small if device in (item[0].device, item[0].peer[0] if item[0].peer else "")]
    return "; ".join(f"{point} has MTU {size}" for point, size in (near or small)[:3])


# What could not be proved, what stayed


def _unproved(call: RollCall) -> list[Problem]:
    """One line a reason: how many cells it leaves open."""
    reasons: Counter[str] = Counter()
    for row in call.cells:
        reasons.update(cell.reason for cell in row if cell.state is State.UNPROVED)
    reasons.update(jumbo.reason for jumbo in call.jumbo if jumbo.state is State.UNPROVED)
    return [
        Problem(
            State.UNPROVED, "the roll call", "", (), "every cell proved", f"{count} cells unproved: {reason}"
        )
        for reason, count in reasons.most_common()
    ]


def _leftovers(call: RollCall) -> list[Problem]:
    """Temporary ports that stayed, or whose end nobody confirmed."""
    return [
        Problem(
            State.UNPROVED,
            report.device,
            name,
            (),
            "the temporary port to be removed",
            "nobody confirmed that it is gone",
            f"the device was busy or the line broke; see by `ovs-vsctl --if-exists del-port {name}`",
        )
        for report in call.reports.values()
        for name in report.left
    ]
