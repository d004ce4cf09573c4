"""Plans and drift as people read them: short, complete, and the same on several devices said once."""

from __future__ import annotations

from collections.abc import Iterable

from grappe.cli.render_drift import Told, to_json, to_text
from grappe.cli.render_plan import PlanText
from grappe.graph.change import Change, Difference
from grappe.graph.plan import Disruption, Level, Plan, Stage, Step
from grappe.graph.resource import Key, Observation, Refusal, Resource
from grappe.model.script import command
from grappe.platforms.planning import Survey

HOSTS = ("h1", "h2", "h3")


def made(scope: str, kind: str, name: str, **running: bool | int | str | frozenset[int] | None) -> Change:
    key = Key(scope, kind, name)
    return Change(key, None, Resource(key, running))


def altered(scope: str, kind: str, name: str, before: int | str, after: int | str) -> Change:
    key = Key(scope, kind, name)
    return Change(key, Resource(key, {"mtu": before}), Resource(key, {"mtu": after}))


def plan(*stages: Stage, refusals: Iterable[Refusal] = (), foreign: Iterable[Key] = ()) -> Plan:
    return Plan("rack", "0", stages, tuple(refusals), foreign=tuple(foreign))


def step(scope: str, *changes: Change, level: Level = Level.NONE, cuts: tuple[str, ...] = ()) -> Step:
    script = (command("do", scope, stdin="line\n"),)
    return Step(scope, changes, script, (command("undo", scope),), Disruption(level, cuts))


def host(scope: str, number: int) -> Step:
    stanza = Key(scope, "stanza", "eth1")
    file = Resource(stanza, persistent={"file": "/etc/x", "lines": ("auto eth1", "mtu 9000")})
    old = Resource(stanza, persistent={"file": "/etc/x", "lines": ("auto eth1", "mtu 1500")})
    return step(
        scope,
        made(scope, "ovs-bridge", "br-rack", mtu=9000, stp=False, native=None),
        made(scope, "link", "vlan12", addresses=f"192.168.12.{number}/24", up=True),
        altered(scope, "link", "eth1", 1500, 9000),
        *(made(scope, "port-group", f"rack/{vlan}", native=vlan) for vlan in range(100, 110)),
        Change(stanza, old, file),
        Change(Key(scope, "libvirt-network", "default"), Resource(Key(scope, "x", "y")), None),
        level=Level.BLIP,
        cuts=(f"{scope}/link/eth1",),
    )


SHORT = """\
rack: 36 to make, 6 to change, 3 to remove, on 3 devices; disruption: traffic blip

stage 1: h1, h2, h3
  h1, h2, h3: disruption: traffic blip (link/eth1)
  h1, h2, h3:
    + ovs-bridge br-rack: mtu 9000, stp no
    + link vlan12: addresses (h1 192.168.12.11/24; h2 192.168.12.12/24; h3 192.168.12.13/24), up yes
    ~ link eth1: mtu 1500 -> 9000
    + 10 port-groups: rack/100, rack/101, rack/102, rack/103, rack/104, rack/105, rack/106, rack/107, \
rack/108, rack/109
    ~ stanza eth1: lines at boot - mtu 1500 | + mtu 9000
    - libvirt-network default"""


def test_what_is_the_same_on_three_hosts_stands_there_once() -> None:
    steps = tuple(host(h, n) for n, h in enumerate(HOSTS, start=11))
    assert PlanText().render(plan(Stage(steps))) == SHORT


def test_no_change_is_lost_in_the_short_form() -> None:
    steps = tuple(host(h, n) for n, h in enumerate((*HOSTS, "h4", "h5", "h6"), start=11))
    one = plan(Stage(steps), Stage((step("h2", altered("h2", "link", "only", 1, 2)),), guarded=True))
    said = PlanText().render(one)
    assert all(change.key.name in said for change in one.changes)
    assert "addresses differs by device" in said
    second = said.partition("stage 2: h2  GUARDED: each device undoes it by itself if it is cut off")[2]
    assert second == "\n  h2:\n    ~ link only: mtu 1 -> 2"


FULL = """\
rack: 1 to make, on 1 device; disruption: none

stage 1: h1
  h1  disruption: none
    + port-group rack/100
        native: 100
        trunk: 10-12
    runs:
      $ do h1 << EOF
      | line
    undo:
      $ undo h1

refused: h1/vm/x: cannot
    do it by hand
not ours, left alone: h1, h2: stanza a, b"""


def test_scripts_show_every_attribute_and_command_and_equal_leftovers_are_grouped() -> None:
    change = made("h1", "port-group", "rack/100", native=100, trunk=frozenset({10, 11, 12}))
    foreign = [Key(h, "stanza", n) for h in ("h1", "h2") for n in ("a", "b")]
    refused = [Refusal("r", "h1/vm/x", "cannot", "do it by hand")]
    one = plan(Stage((step("h1", change),)), refusals=refused, foreign=foreign)
    assert PlanText(scripts=True).render(one) == FULL
    full = PlanText(full=True).render(one)
    assert "native: 100" in full
    assert "$ do" not in full


def test_an_object_that_changes_twice_in_a_stage_is_shown_twice() -> None:
    both = (altered("h1", "link", "eth1", 1, 2), altered("h1", "link", "eth1", 2, 3))
    said = PlanText().render(plan(Stage((step("h1", *both),))))
    assert "mtu 1 -> 2" in said
    assert "mtu 2 -> 3" in said


def test_what_cannot_be_undone_is_said_in_the_short_form_too() -> None:
    one = Step("h1", (made("h1", "vm", "x"),), (), (), irreversible="it is gone for good")
    assert "  h1: CANNOT BE UNDONE: it is gone for good" in PlanText().render(plan(Stage((one,))))


def test_an_empty_plan_says_so_and_a_refused_one_does_not_claim_it() -> None:
    assert PlanText().render(plan()) == "rack: nothing to do, everything is as declared"
    refused = plan(refusals=[Refusal("c", "h1/a/b", "no")])
    assert PlanText().render(refused).startswith("rack: nothing can be done; 1 refused")


# --- drift


def told() -> Told:
    stanza, link = Key("h1", "stanza", "eth1"), Key("h1", "link", "eth1")
    port = Key("h1", "ovs-port", "p")
    changes = (
        Change(stanza, None, Resource(stanza, persistent={"file": "x"})),
        Change(link, Resource(link, {"mtu": 1500}), Resource(link, {"mtu": 9000})),
        Change(
            port,
            Resource(port, {}, {"tagged": frozenset({10, 11})}),
            Resource(port, {}, {"tagged": frozenset({11, 12})}),
        ),
    )
    seen = {scope: Observation(scope, {}) for scope in ("h1", "h2")}
    survey = Survey(seen, {"h3": "no answer within 60 s"}, {"h4": "in maintenance"})
    return Told("rack", survey, Difference(changes), {"r1": "in stage 1 of 2"})


DRIFT = """\
rack: 3 not as declared, 1 unknown, 1 cut off
  h1: not as declared: 1 now, 2 at the next boot
    now:
      link eth1: mtu is 1500 now, declared 9000
    at the next boot:
      ovs-port p: tagged is 10-11 at the next boot, declared 11-12 (lacks 12; should not have 10)
      stanza eth1: is missing
  h2: as declared
  h3: unknown: no answer within 60 s
  h4: not asked: in maintenance
  cut off: run r1: in stage 1 of 2; end it with grappe apply --resume or --abort"""


def test_status_tells_now_from_the_next_boot() -> None:
    assert to_text(told()) == DRIFT
    facets = {(item["kind"], item["facet"]) for item in to_json(told())["drift"]}
    assert facets == {("link", "running"), ("ovs-port", "persistent"), ("stanza", "persistent")}


def test_a_host_in_maintenance_is_no_reason_to_be_unwell() -> None:
    calm = Told("rack", Survey({}, {}, {"h4": "in maintenance"}), Difference(()), {})
    assert calm.well
    assert to_text(calm) == "rack: as declared\n  h4: not asked: in maintenance"
    assert not Told("rack", Survey({}, {"h3": "silent"}), Difference(()), {}).well
