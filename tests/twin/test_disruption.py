"""What a plan says of its disruption is true: pings run in every step; A to B to A; foreign things stay."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from grappe.apply import events
from grappe.apply.journal import entries, journals
from grappe.transport.prefixed import Prefixed
from grappe.verify.gaps import Gap
from grappe.verify.outage import Watch, Watched
from twin.cluster import TwinCluster, twin_of

pytestmark = pytest.mark.xdist_group("disruption")

LIMIT = 0.3
"""Seconds without an answer that a step labelled "disruption: none" may not reach."""

# Management crosses a bridge of Grappe's own, like everything else.
A = """
site: calm
networks:
  office:      {fabric: office, subnet: 192.168.10.0/24, gateway: .253, roles: [management]}
  front:       {fabric: rack, vlan: 10, subnet: 10.10.1.0/24}
  store:       {fabric: rack, vlan: 12, subnet: 10.12.1.0/24, mtu: 9000, roles: [storage]}
  transit:     {fabric: rack, vlan: 20, subnet: 10.20.1.0/24}
  hypervisor:  {fabric: rack, vlan: 99, subnet: 10.99.1.0/24, port_group: false}
port_groups:
  outer: [front, transit]
pools:
  kvm:
    platform: kvm
    storage: {images: /var/lib/libvirt/images}
    attach:
      eth0: [office]
      eth1: {fabric: rack}
    hosts:
      h1:
        addresses: {office: .11, store: .11, hypervisor: .11}
        cables: {eth0: desk/1, eth1: sw1/p1}
      h2:
        addresses: {office: .12, store: .12, hypervisor: .12}
        cables: {eth0: desk/2, eth1: sw1/p2}
switches:
  sw1: {platform: ovs_switch, access: 192.168.10.241, mtu: 9000, ports: {p8: front}}
  desk: {platform: unmanaged}
vms:
  web1: {memory: 96M, boot: test-guest, host: h1, nics: [{network: transit, address: .21}]}
"""

LATE = "late1: {memory: 96M, boot: test-guest, host: h2, nics: [{network: late, address: .21}]}"
ONE_MORE = (
    ("\nport_groups:", "\n  late: {fabric: rack, vlan: 30, subnet: 10.30.1.0/24}\nport_groups:"),
    ("[front, transit]", "[front, transit]\n  inner: [late]"),
    ("\nvms:", f"\nvms:\n  {LATE}"),
)
"""A VLAN more: its network, a port group, a VM on it."""

ONE_PORT_MORE = tuple(
    (f"hypervisor: {last}}}", f"hypervisor: {last}, transit: {last}}}") for last in (".11", ".12")
)
"""An address of each host's own in VLAN 20: an internal port."""

B = (
    ("vlan: 20,", "vlan: 21,"),
    ("  front:       {fabric: rack, vlan: 10, subnet: 10.10.1.0/24}\n", ""),
    ("[front, transit]", "[transit, fresh]"),
    (", ports: {p8: front}", ", ports: {p8: transit}"),
    ("\nport_groups:", "\n  fresh:       {fabric: rack, vlan: 31, subnet: 10.31.1.0/24}\nport_groups:"),
    ("mtu: 9000, roles", "mtu: 4000, roles"),
)
"""VLAN 20 becomes 21, a network goes, another comes, the storage network's MTU shrinks."""


def changed(*changes: tuple[str, str]) -> str:
    text = A
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@dataclass(frozen=True)
class Period:
    """When a step ran, by this machine's clock."""

    scope: str
    level: str
    start: float
    end: float
    changes: tuple[str, ...]

    def met(self, start: float, end: float) -> bool:
        return start < self.end and end > self.start


@dataclass
class Site:
    """The running twin and its watches."""

    twin: TwinCluster

    def watches(self, stack: ExitStack) -> dict[str, Watch]:
        """Pings on management, on a data network, and on nothing but the machine that runs it all."""
        lab = self.twin.lab
        operator = Prefixed("operator", tuple(lab.operator_argv([])))
        h1 = Prefixed("h1", tuple(lab.shell_argv("h1", [])))
        wanted = {
            "operator to h1": (operator, "192.168.10.11"),
            "operator to h2": (operator, "192.168.10.12"),
            "h1 to h2 in VLAN 99": (h1, "10.99.1.12"),
            "h1 to itself": (h1, "127.0.0.1"),
        }
        watches = {
            name: stack.enter_context(Watch(way, Watched(address))) for name, (way, address) in wanted.items()
        }
        limit = time.monotonic() + 10
        while silent := [name for name, watch in watches.items() if not watch.answered()]:
            assert time.monotonic() < limit, f"no answer yet: {silent}"
            time.sleep(0.05)
        return watches

    def apply(self, text: str, *words: str) -> tuple[list[Period], list[str]]:
        """Apply a declaration under watch: its steps, and the gaps in steps that promised none."""
        self.twin.file.write_text(text)
        with ExitStack() as stack:
            watches = self.watches(stack)
            self.twin.grappe("apply", "--yes", *words)
            for watch in watches.values():
                watch.stop()
                assert not watch.broken, watch.broken
        periods = list(self.periods())
        assert periods
        own = watches.pop("h1 to itself")
        bad = [
            f"{name}: {gap.length * 1000:.0f} ms in {[p.changes for p in hit]}"
            for name, watch in watches.items()
            for gap in watch.stop().gaps
            if (hit := broken_promise(periods, *watch.wall(gap))) and not stalled(own, watch, gap)
        ]
        return periods, bad

    def periods(self) -> Iterator[Period]:
        """Steps of the latest run, from its journal."""
        found = entries(journals(self.twin.lab.folder.path / "journals")[-1])
        plan: dict[str, object] = next(e.event.plan for e in found if isinstance(e.event, events.RunBegins))
        begun: dict[tuple[int, int], float] = {}
        for entry in found:
            event = entry.event
            if isinstance(event, events.StepBegins):
                begun[event.stage, event.step] = entry.at
            elif isinstance(event, events.StepDone):
                step = plan["stages"][event.stage]["steps"][event.step]  # type: ignore[index]
                names = tuple("/".join(change["key"]) for change in step["changes"])
                assert step["scope"] == event.scope
                level = step["disruption"]["level"]
                yield Period(event.scope, level, begun[event.stage, event.step], entry.at, names)

    def converged(self) -> None:
        assert self.twin.drift() == {}
        assert "nothing to do" in self.twin.grappe("plan")


def broken_promise(periods: list[Period], start: float, end: float) -> list[Period]:
    """Steps labelled none that a gap met, unless one met it too that had announced a blip."""
    hit = [p for p in periods if p.met(start, end)]
    if end - start < LIMIT or any(p.level != "none" for p in hit):
        return []
    return hit


def stalled(own: Watch, watch: Watch, gap: Gap) -> bool:
    """Whether the whole machine stood still meanwhile: pings that leave no host paused as well."""
    start, end = watch.wall(gap)
    pauses = [own.wall(other) for other in own.stop().gaps]
    return any(min(end, b) - max(start, a) > gap.length / 2 for a, b in pauses)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    file = tmp_path_factory.mktemp("calm") / "site.yaml"
    file.write_text(A)
    with twin_of(file, "calm") as twin:
        twin.grappe("apply", "--yes", "--adopt", "h*/stanza/eth0")
        site = Site(twin)
        site.converged()
        yield site


def test_a_vlan_and_a_vm_more_are_not_noticed_elsewhere(calm: Site) -> None:
    periods, bad = calm.apply(changed(*ONE_MORE), "--disruption", "none")
    assert {p.level for p in periods} == {"none"}
    assert not bad, bad
    calm.converged()


def test_an_internal_port_more_is_not_noticed_elsewhere(calm: Site) -> None:
    periods, bad = calm.apply(changed(*ONE_MORE, *ONE_PORT_MORE), "--disruption", "none")
    assert {p.level for p in periods} == {"none"}
    assert any("vlan20" in name for p in periods for name in p.changes), periods
    assert not bad, bad
    calm.converged()


def test_the_watch_sees_a_cut_that_nobody_announced(calm: Site) -> None:
    """Without this the tests above could not fail."""
    with ExitStack() as stack:
        watches = calm.watches(stack)
        begin = time.time()
        cut = "ovs-vsctl set Port p2 trunks=12; sleep 1; ovs-vsctl set Port p2 trunks=12,99"
        calm.twin.on("sw1", "sh", "-c", cut)
        period = Period("sw1", "none", begin, time.time(), ("sw1/ovs-port/p2",))
        watch = watches["h1 to h2 in VLAN 99"]
        gap = watch.stop().gaps[0]
        assert gap.length > 0.7
        assert broken_promise([period], *watch.wall(gap))
        assert not stalled(watches["h1 to itself"], watch, gap)
    calm.twin.grappe("apply", "--yes")


FOREIGN = {
    "bridge": "ovs-vsctl --columns=_uuid,name,ports,datapath_type,other_config,external_ids list Bridge lab0",
    "port": "ovs-vsctl --columns=_uuid,name,tag,trunks,vlan_mode,external_ids,other_config list Port lab1",
    "interface": "ovs-vsctl --columns=_uuid,name,type,mtu_request,external_ids,options list Interface lab1",
    "stanza": "cat /etc/network/interfaces.d/lab",
    "network": "virsh net-dumpxml lab",
    "network's next start": "cat /etc/libvirt/qemu/networks/lab.xml",
}
MAKE_FOREIGN = """
ovs-vsctl add-br lab0 -- set Bridge lab0 datapath_type=netdev
ovs-vsctl add-port lab0 lab1 tag=20 -- set Interface lab1 type=internal -- set Port lab1 external_ids:by=hand
printf '# mine\\niface lab1 inet static\\n\\taddress 10.20.1.99/24\\n' > /etc/network/interfaces.d/lab
echo "<network><name>lab</name><forward mode='bridge'/><bridge name='lab0'/><virtualport type='openvswitch'/>\
<portgroup name='20'><vlan><tag id='20'/></vlan></portgroup></network>" > /tmp/lab.xml
virsh net-define /tmp/lab.xml && virsh net-start lab
"""


def test_there_and_back_again_converges_and_leaves_foreign_things_alone(calm: Site) -> None:
    calm.twin.on("h1", "sh", "-ec", MAKE_FOREIGN)
    before = {what: calm.twin.on("h1", *command.split()) for what, command in FOREIGN.items()}
    trouble = []
    for text in (changed(*ONE_MORE), changed(*ONE_MORE, *B), changed(*ONE_MORE)):
        _, bad = calm.apply(text, "--disruption", "host-reboot")
        trouble += bad
        calm.converged()
    assert not trouble, trouble
    assert {what: calm.twin.on("h1", *command.split()) for what, command in FOREIGN.items()} == before
    assert calm.twin.json("verify")["ok"]
