"""The roll call's verdict: random topologies with planted faults, run through a small model of switching."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grappe.verify.explain import problems
from grappe.verify.render import to_json, to_text
from grappe.verify.rollcall import (
    Face,
    Heard,
    Kind,
    Network,
    Plan,
    Point,
    Report,
    RollCall,
    State,
    Tags,
    Voice,
    judge,
    jumbo_pairs,
)

TRUNK = 0  # an access port that lost its tag
NOWHERE = 999  # a VLAN that no network has


@dataclass
class Site:
    """Hosts with one port on each network, a trunk each to one switch; `tags` and the trunks can be
    spoilt."""

    hosts: int
    vlans: int
    guests: bool = True
    tags: dict[tuple[int, int, str], int] = field(default_factory=dict)
    host_gaps: set[tuple[int, int]] = field(default_factory=set)
    switch_gaps: set[tuple[int, int]] = field(default_factory=set)
    cable_cuts: set[int] = field(default_factory=set)

    @property
    def ports(self) -> list[tuple[int, int, str]]:
        kinds = ["p", "g"] if self.guests else ["p"]
        return [
            (host, vlan, kind)
            for host in range(self.hosts)
            for vlan in range(1, self.vlans + 1)
            for kind in kinds
        ]

    def plan(self) -> Plan:
        trunk = tuple((f"n{vlan}", vlan) for vlan in range(1, self.vlans + 1))
        points = [self._port(*port) for port in self.ports]
        for host in range(self.hosts):
            points.append(Point(f"h{host}", "up", Kind.UPLINK, trunk, peer=("sw", f"s{host}")))
            points.append(Point("sw", f"s{host}", Kind.SWITCH_PORT, trunk, peer=(f"h{host}", "up")))
        plan = Plan("model", tuple(Network(name, 9000) for name, _ in trunk), tuple(points))
        return replace(plan, pairs=jumbo_pairs(plan, [name for name, _ in trunk]))

    @staticmethod
    def _port(host: int, vlan: int, kind: str) -> Point:
        name = frozenset({f"n{vlan}"})
        what = (Kind.HOST_PORT, name) if kind == "p" else (Kind.GUEST_PORT, frozenset[str]())
        return Point(f"h{host}", f"{kind}{vlan}", what[0], ((f"n{vlan}", None),), what[1])

    def tag(self, port: tuple[int, int, str]) -> int:
        return self.tags.get(port, port[1])

    def local(self, host: int, vlan: int, source: tuple[int, int, str] | None) -> dict[tuple[str, str], Tags]:
        """What the ports of one host get of a frame on a VLAN."""
        got: dict[tuple[str, str], Tags] = {}
        for port in self.ports:
            if port[0] == host and port != source and self.tag(port) in (vlan, TRUNK):
                tagged = self.tag(port) == TRUNK and vlan != TRUNK
                got[f"h{host}", f"{port[2]}{port[1]}"] = (vlan,) if tagged else ()
        return got

    def crosses(self, host: int, vlan: int) -> bool:
        return 1 <= vlan <= self.vlans and (host, vlan) not in self.host_gaps

    def spread(self, source: tuple[int, int, str]) -> dict[tuple[str, str], tuple[Tags, bool]]:
        """Everywhere a port's untagged broadcast is seen: (tags, inward)."""
        host, vlan = source[0], self.tag(source)
        seen = {at: (tags, at[1][0] == "p") for at, tags in self.local(host, vlan, source).items()}
        if not self.crosses(host, vlan):
            return seen
        seen[f"h{host}", "up"] = ((vlan,), False)
        if host in self.cable_cuts:
            return seen
        seen["sw", f"s{host}"] = ((vlan,), True)
        if (host, vlan) in self.switch_gaps:
            return seen
        for other in set(range(self.hosts)) - {host} - {h for h, gap in self.switch_gaps if gap == vlan}:
            seen["sw", f"s{other}"] = ((vlan,), False)
            if other in self.cable_cuts:
                continue
            seen[f"h{other}", "up"] = ((vlan,), True)
            if self.crosses(other, vlan):
                local = self.local(other, vlan, None)
                seen |= {at: (tags, at[1][0] == "p") for at, tags in local.items()}
        return seen

    def reports(self, plan: Plan) -> dict[str, Report]:
        where = {(point.device, point.interface): number for number, point in enumerate(plan.points)}
        heard: dict[str, list[Heard]] = {device: [] for device in plan.devices}
        for number, voice in enumerate(plan.voices):
            for at, (tags, inward) in self.spread(self.source(plan, voice)).items():
                heard[at[0]].append(Heard(where[at], number, -1, tags, inward, 1, 1.0, 1.0, 46))
                for pair in plan.pairs:
                    if pair.voice == number and pair.target == where[at]:
                        heard[at[0]].append(
                            Heard(where[at], number, pair.target, tags, inward, 1, 1.0, 1.0, 9000)
                        )
        return {
            device: Report(
                device,
                faces={n: Face("02:00:00:00:00:01", 9000, True, True) for n in range(len(plan.points))},
                sent={(n, -1): 1 for n in range(len(plan.voices))}
                | {(p.voice, p.target): 1 for p in plan.pairs},
                heard=tuple(heard[device]),
            )
            for device in plan.devices
        }

    @staticmethod
    def source(plan: Plan, voice: Voice) -> tuple[int, int, str]:
        point = plan.points[voice.point]
        return int(point.device[1:]), int(point.interface[1:]), point.interface[0]

    def call(self) -> RollCall:
        plan = self.plan()
        return judge(plan, self.reports(plan))


def wrong(call: RollCall) -> set[State]:
    return {cell.state for row in call.cells for cell in row} & {State.LEAK, State.DEAF}


@st.composite
def spoilt_sites(draw: st.DrawFn) -> Site:
    site = Site(draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.booleans()))
    tags = st.sampled_from([TRUNK, NOWHERE, *range(1, site.vlans + 1)])
    site.tags = draw(st.dictionaries(st.sampled_from(site.ports), tags, max_size=4))
    gap = st.tuples(st.integers(0, site.hosts - 1), st.integers(1, site.vlans))
    site.host_gaps, site.switch_gaps = draw(st.sets(gap, max_size=2)), draw(st.sets(gap, max_size=2))
    site.cable_cuts = draw(st.sets(st.integers(0, site.hosts - 1), max_size=1))
    return site


@given(spoilt_sites())
@settings(max_examples=300, deadline=None)
def test_every_planted_leak_and_deafness_is_found_and_nothing_else(site: Site) -> None:
    plan, call = site.plan(), site.call()
    delivered = {
        (number, at): tags
        for number, voice in enumerate(plan.voices)
        for at, (tags, _) in site.spread(site.source(plan, voice)).items()
    }
    for number, voice in enumerate(plan.voices):
        for place, point in enumerate(plan.points):
            state, at = call.cells[number][place].state, (point.device, point.interface)
            belongs = voice.network in dict(point.carries)
            proper = () if point.kind in (Kind.HOST_PORT, Kind.GUEST_PORT) else (int(voice.network[1:]),)
            got = delivered.get((number, at))
            if place == voice.point:
                assert state is State.SELF
            elif belongs:
                assert state is (State.HEARD if got == proper else State.DEAF if got is None else state)
                assert got in (None, proper) or state in (State.LEAK, State.DEAF)
            elif got is not None:
                assert state is State.LEAK
            else:
                assert state in (State.ISOLATED, State.UNPROVED)


@given(spoilt_sites())
@settings(max_examples=200, deadline=None)
def test_isolated_needs_two_positive_controls(site: Site) -> None:
    call = site.call()
    heard_at = [{p for p, cell in enumerate(row) if cell.frames} for row in call.cells]
    listening = set().union(*heard_at)
    for voice, row in enumerate(call.cells):
        controlled = any(call.plan.expected(voice, point) is not None for point in heard_at[voice])
        for point, cell in enumerate(row):
            if cell.state is State.ISOLATED:
                assert controlled
                assert point in listening
            if cell.state is State.UNPROVED:
                assert cell.reason


@given(spoilt_sites())
@settings(max_examples=200, deadline=None)
def test_every_wrong_cell_has_a_problem_and_every_rendering_agrees(site: Site) -> None:
    call = site.call()
    found = problems(call)
    assert {problem.state for problem in found if problem.state is not State.UNPROVED} <= {
        State.LEAK,
        State.DEAF,
    }
    assert bool(wrong(call)) is any(problem.state is not State.UNPROVED for problem in found)
    assert call.ok is not bool(wrong(call))
    document = json.loads(json.dumps(to_json(call)))
    assert document["format"] == "grappe/verify/1"
    assert document["ok"] is call.ok
    assert sum(len(row["LEAK"]) for row in document["matrix"]) == sum(
        cell.state is State.LEAK for row in call.cells for cell in row
    )
    assert ("FAILED" in to_text(call, full=True)) is not call.ok


@given(st.integers(2, 4), st.integers(1, 4), st.booleans())
def test_a_sound_site_passes_with_every_cell_proved(hosts: int, vlans: int, guests: bool) -> None:
    call = Site(hosts, vlans, guests).call()
    assert call.ok
    assert not call.counts[State.UNPROVED]
    assert problems(call) == ()
    assert all(jumbo.state is State.HEARD for jumbo in call.jumbo)


@given(st.integers(3, 5), st.integers(2, 4), st.data())
@settings(max_examples=100, deadline=None)
def test_one_misplaced_port_is_the_only_culprit(hosts: int, vlans: int, data: st.DataObject) -> None:
    site = Site(hosts, vlans)
    port = data.draw(st.sampled_from(site.ports))
    others = [vlan for vlan in range(1, vlans + 1) if vlan != port[1]]
    site.tags[port] = data.draw(st.sampled_from([*others, TRUNK, NOWHERE]))
    found = [problem for problem in problems(site.call()) if problem.state is not State.UNPROVED]
    assert [(problem.device, problem.interface) for problem in found] == [
        (f"h{port[0]}", f"{port[2]}{port[1]}")
    ]
    if site.tags[port] in others:
        assert f"on n{site.tags[port]} (VLAN {site.tags[port]}) instead of n{port[1]}" in found[0].cause
    if site.tags[port] == TRUNK:
        assert "no tag of its own" in found[0].cause
    if site.tags[port] == NOWHERE:
        assert f"not on n{port[1]}" in found[0].cause


@given(st.integers(3, 5), st.integers(2, 4), st.data())
@settings(max_examples=60, deadline=None)
def test_a_vlan_missing_on_one_trunk_is_named_at_the_right_end(
    hosts: int, vlans: int, data: st.DataObject
) -> None:
    site = Site(hosts, vlans)
    host, vlan = data.draw(st.integers(0, hosts - 1)), data.draw(st.integers(1, vlans))
    at_switch = data.draw(st.booleans())
    (site.switch_gaps if at_switch else site.host_gaps).add((host, vlan))
    found = [problem for problem in problems(site.call()) if problem.state is not State.UNPROVED]
    assert [(problem.device, problem.networks) for problem in found] == [(f"h{host}", (f"n{vlan}",))]
    assert (f"sw s{host} does not let them through" if at_switch else f"h{host} up") in found[0].cause


def test_a_pulled_cable_is_one_problem_over_all_networks() -> None:
    site = Site(3, 3, cable_cuts={1})
    found = [problem for problem in problems(site.call()) if problem.state is not State.UNPROVED]
    assert [problem.device for problem in found] == ["h1"]
    assert "nothing passes, on any network" in found[0].seen
    assert "lost on the cable" in found[0].cause


def test_a_device_that_did_not_answer_makes_its_cells_unproved_not_isolated() -> None:
    site = Site(3, 2)
    plan = site.plan()
    reports = site.reports(plan)
    reports["h1"] = Report("h1", reason="no 'ready' from its probe in time")
    call = judge(plan, reports)
    for voice, row in enumerate(call.cells):
        for point, cell in enumerate(row):
            if voice != point and plan.points[point].device == "h1" and cell.state is not State.SELF:
                assert cell.state is State.UNPROVED
                assert "did not answer" in cell.reason
    assert call.ok
    assert "passed as far as proved" in to_text(call)
    assert all(jumbo.state is not State.DEAF for jumbo in call.jumbo)


def test_lost_frames_in_a_listeners_buffer_never_pass_for_isolation() -> None:
    site = Site(2, 2)
    plan = site.plan()
    reports = site.reports(plan)
    reports["h0"] = replace(reports["h0"], drops={0: 3})
    states = {
        row[0].state
        for voice, row in enumerate(judge(plan, reports).cells)
        if plan.voices[voice].network == "n2"
    }
    assert states == {State.UNPROVED}


def test_a_guests_own_frames_are_not_counted_as_delivered_to_it() -> None:
    site = Site(2, 2)
    plan = site.plan()
    guest = next(n for n, point in enumerate(plan.points) if point.kind is Kind.GUEST_PORT)
    reports = site.reports(plan)
    foreign = next(n for n, voice in enumerate(plan.voices) if voice.network == "n2")
    echo = Heard(guest, foreign, -1, (), True, 1, 1.0, 1.0, 46)
    reports["h0"] = replace(reports["h0"], heard=(*reports["h0"].heard, echo))
    assert judge(plan, reports).cells[foreign][guest].state is State.ISOLATED


def lose_full_size(site: Site, lost: set[tuple[str, str]]) -> tuple[Plan, dict[str, Report]]:
    """Drop the full-size frames between these devices from the reports."""
    plan = site.plan()
    reports = {
        name: replace(
            report,
            heard=tuple(
                frame
                for frame in report.heard
                if frame.target < 0
                or (plan.speaker(frame.voice).device, plan.points[frame.target].device) not in lost
            ),
        )
        for name, report in site.reports(plan).items()
    }
    return plan, reports


def test_a_small_mtu_on_one_hosts_own_port_is_named_with_its_direction() -> None:
    plan, reports = lose_full_size(Site(3, 1), {("h0", "h2"), ("h1", "h2")})
    point = next(n for n, p in enumerate(plan.points) if (p.device, p.interface) == ("h2", "p1"))
    reports["h2"] = replace(
        reports["h2"], faces={**reports["h2"].faces, point: Face("02::1", 1500, True, True)}
    )
    (problem,) = problems(judge(plan, reports))
    assert (problem.device, problem.networks) == ("h2", ("n1",))
    assert "lost towards it only (h0 to h2, h1 to h2)" in problem.seen
    assert problem.cause == "h2 p1 has MTU 1500"


def test_a_small_mtu_on_a_hop_is_named_in_both_directions() -> None:
    plan, reports = lose_full_size(Site(3, 1), {("h0", "h2"), ("h1", "h2"), ("h2", "h0"), ("h2", "h1")})
    (problem,) = problems(judge(plan, reports))
    assert problem.device == "h2"
    assert "lost towards and from it" in problem.seen
    assert problem.cause == "an MTU below 9000 towards and from it"


def test_a_bond_members_silence_is_unproved_while_another_member_hears() -> None:
    uplinks = [Point("h0", name, Kind.UPLINK, (("n1", 1),), bundle="bond0") for name in ("e1", "e2")]
    port = Point("h0", "p1", Kind.HOST_PORT, (("n1", None),), frozenset({"n1"}))
    plan = Plan("bond", (Network("n1"),), (port, *uplinks))
    up = Face("02:00:00:00:00:01", 1500, True, True)
    through = Heard(1, 0, -1, (1,), False, 1, 1.0, 1.0, 46)
    report = Report("h0", faces=dict.fromkeys(range(3), up), sent={(0, -1): 1}, heard=(through,))
    states = [cell.state for cell in judge(plan, {"h0": report}).cells[0]]
    assert states == [State.SELF, State.HEARD, State.UNPROVED]
    silent = judge(plan, {"h0": replace(report, heard=())})
    assert [cell.state for cell in silent.cells[0]] == [State.SELF, State.DEAF, State.DEAF]


def test_a_network_that_nobody_may_speak_on_is_said_to_be_only_listened_to() -> None:
    quiet = Point("h0", "p1", Kind.HOST_PORT, (("provider", None),))
    plan = Plan("provider", (Network("provider"),), (quiet,))
    text = to_text(judge(plan, {"h0": Report("h0", faces={0: Face(up=True, carrier=True)})}), full=True)
    assert "nobody may send on it; it was only listened to" in text


# One rule each


def small(
    kind: Kind, frames: list[tuple[Tags, bool]], network: str = "n1", tag: int | None = None
) -> RollCall:
    """One voice on n1, one listener on `network`; the listener saw these frames of the voice."""
    speaker = Point("h0", "p1", Kind.HOST_PORT, (("n1", None),), frozenset({"n1"}))
    witness = Point("h0", "p9", Kind.HOST_PORT, (("n1", None),))
    listener = Point("h1", "x", kind, ((network, tag),))
    plan = Plan("small", (Network("n1"), Network("n2")), (speaker, witness, listener))
    up = dict.fromkeys(range(3), Face("02:00:00:00:00:01", 1500, True, True))
    seen = tuple(Heard(2, 0, -1, tags, inward, 1, 1.0, 1.0, 46) for tags, inward in frames)
    control = Heard(1, 0, -1, (), True, 1, 1.0, 1.0, 46)
    reports = {
        "h0": Report("h0", faces=up, sent={(0, -1): 1}, heard=(control,)),
        "h1": Report("h1", faces=up, heard=seen),
    }
    return judge(plan, reports)


@pytest.mark.parametrize(
    ("kind", "network", "tag", "frames", "state"),
    [
        (Kind.HOST_PORT, "n1", None, [((), True)], State.HEARD),
        (Kind.HOST_PORT, "n1", None, [((), False)], State.DEAF),  # what a host sends is not delivered to it
        (Kind.GUEST_PORT, "n1", None, [((), False)], State.HEARD),
        (Kind.GUEST_PORT, "n1", None, [((), True)], State.DEAF),
        (Kind.UPLINK, "n1", 6, [((6,), True)], State.HEARD),
        (Kind.UPLINK, "n1", 6, [((6,), False)], State.HEARD),
        (Kind.GUEST_PORT, "n1", None, [((6,), False)], State.DEAF),  # a guest does not understand the tag
        (Kind.GUEST_PORT, "n1", None, [((6,), False), ((), False)], State.LEAK),
        (Kind.UPLINK, "n1", 6, [((7,), False)], State.LEAK),
        (Kind.UPLINK, "n1", 6, [((6,), False), ((), False)], State.LEAK),
        (Kind.GUEST_PORT, "n1", 6, [((6,), False)], State.HEARD),  # a trunk to a guest
        (Kind.UPLINK, "n2", 7, [((6,), False)], State.LEAK),
    ],
)
def test_a_cell_is_judged_by_direction_and_tag(
    kind: Kind, network: str, tag: int | None, frames: list[tuple[Tags, bool]], state: State
) -> None:
    assert small(kind, frames, network, tag).cells[0][2].state is state


def test_a_shortened_frame_is_no_proof_of_the_mtu() -> None:
    site = Site(2, 1, guests=False)
    plan = site.plan()
    reports = {
        name: replace(
            report, heard=tuple(replace(f, size=8999) if f.target >= 0 else f for f in report.heard)
        )
        for name, report in site.reports(plan).items()
    }
    assert {jumbo.state for jumbo in judge(plan, reports).jumbo} == {State.DEAF}


def test_a_frame_that_the_senders_own_interface_refused_says_so() -> None:
    plan, reports = lose_full_size(Site(3, 1), {("h2", "h0"), ("h2", "h1")})
    errors = {(pair.voice, pair.target): "Message too long" for pair in plan.pairs}
    reports["h2"] = replace(reports["h2"], errors=errors, sent={(2, -1): 1})
    (problem,) = problems(judge(plan, reports))
    assert "lost from it only" in problem.seen
    assert "the sender's own interface refused it: Message too long" in problem.seen


def test_an_interface_that_is_down_is_the_cause_before_any_other() -> None:
    site = Site(3, 1)
    site.tags[1, 1, "g"] = NOWHERE
    plan = site.plan()
    reports = site.reports(plan)
    point = next(n for n, p in enumerate(plan.points) if (p.device, p.interface) == ("h1", "g1"))
    reports["h1"] = replace(
        reports["h1"], faces={**reports["h1"].faces, point: Face("02::1", 1500, up=False)}
    )
    (problem,) = [p for p in problems(judge(plan, reports)) if p.state is State.DEAF]
    assert problem.cause == "the interface is down"


def test_two_devices_that_do_not_hear_each_other_are_not_called_all_devices() -> None:
    found = [p for p in problems(Site(2, 2, switch_gaps={(0, 1)}).call()) if p.state is not State.UNPROVED]
    assert {problem.device for problem in found} <= {"h0", "h1"}
    assert all(problem.networks == ("n1",) for problem in found)


def test_a_vlan_missing_on_the_whole_switch_is_one_problem() -> None:
    call = Site(3, 2, switch_gaps={(host, 2) for host in range(3)}).call()
    found = [problem for problem in problems(call) if problem.state is not State.UNPROVED]
    assert [(problem.device, problem.networks) for problem in found] == [("all devices", ("n2",))]
    assert "missing on the switch between them" in found[0].cause


def test_ends_of_a_cable_with_different_native_vlans_are_named() -> None:
    """h1's own port is in order; beyond its uplink the native network is another."""
    trunk: tuple[tuple[str, int | None], ...] = (("lan", None), ("app", 20))
    lan = [Point(h, "lan", Kind.HOST_PORT, (("lan", None),), frozenset({"lan"})) for h in ("h0", "h1", "h2")]
    app = [Point(h, "app", Kind.HOST_PORT, (("app", None),), frozenset({"app"})) for h in ("h0", "h2")]
    up = Point("h1", "up", Kind.UPLINK, trunk)
    plan = Plan("native", (Network("lan"), Network("app")), (*lan, *app, up))
    heard = {  # voice: points, by the numbers above; voices have their point's number
        0: {2: ((), True), 5: ((1,), True)},
        1: {5: ((), False), 3: ((), True), 4: ((), True)},
        2: {0: ((), True), 5: ((1,), True)},
        3: {4: ((), True), 5: ((), True), 1: ((), True)},
        4: {3: ((), True), 5: ((), True), 1: ((), True)},
    }
    frames: dict[str, list[Heard]] = {"h0": [], "h1": [], "h2": []}
    for voice, points in heard.items():
        for point, (tags, inward) in points.items():
            frames[plan.points[point].device].append(Heard(point, voice, -1, tags, inward, 1, 1.0, 1.0, 46))
    faces = dict.fromkeys(range(6), Face("02:00:00:00:00:01", 1500, True, True))
    sent = {(voice, -1): 1 for voice in heard}
    reports = {h: Report(h, faces=faces, sent=sent, heard=tuple(frames[h])) for h in frames}
    causes = {problem.interface: problem.cause for problem in problems(judge(plan, reports))}
    assert causes["up"] == "app is untagged there: the cable's ends differ in the native VLAN"
    assert (
        causes["lan"]
        == "its frames leave up as declared: the other end of that cable has another native VLAN"
    )


def test_a_point_is_blamed_before_its_whole_device_when_both_explain_as_much() -> None:
    found = [p for p in problems(Site(3, 2, guests=False, tags={(1, 1, "p"): NOWHERE}).call()) if p.networks]
    assert [(problem.device, problem.interface) for problem in found] == [("h1", "p1")]
