"""A site for libvirt tests, and a bench that plans it on one real host and applies the plan."""

from __future__ import annotations

from dataclasses import replace

from component.libvirt_lab import Lab
from grappe.graph.plan import Plan
from grappe.graph.resource import Key, Observation, Resource, Role, differences
from grappe.model.script import Script
from grappe.model.site import (
    Access,
    Attachment,
    Disk,
    Fabric,
    Host,
    KernelBoot,
    Network,
    Pool,
    PortGroup,
    Site,
    Storage,
    Vm,
    VmNic,
)
from grappe.model.site import Platform as HostPlatform
from grappe.model.units import Bytes, Mac, Mtu, VlanId
from grappe.platforms.base import Platform
from grappe.platforms.kvm.libvirt import LibvirtPart
from grappe.platforms.kvm.libvirt_xml import drop, parse, text_of
from grappe.platforms.planning import NO_CHOICES, Choices, Survey, plan_site

SCOPE = "h1"

NETWORKS = {
    name: Network(name=name, fabric="in", vlan=None if vlan is None else VlanId(vlan))
    for name, vlan in (("lan", None), ("web", 10), ("dmz", 20), ("admin", 99))
}

GROUPS = {
    ("in", name): PortGroup(name=name, fabric="in", native=native, tagged=tagged)
    for name, native, tagged in (
        ("lan", "lan", ()),
        ("100", "web", ()),
        ("--x $(id) y", "dmz", ()),
        ("trunk", None, ("web", "dmz")),
        ("one", None, ("web",)),
        ("mixed", "web", ("dmz", "admin")),
        ("native", "lan", ("web",)),
    )
}

KERNEL = "/mnt/a kernel"
"""A file of zeros: QEMU runs it, and nothing happens."""


def nic(group: str, network: str | None, last: int, mtu: int = 1500) -> VmNic:
    """A NIC on the site's fabric."""
    mac = Mac(f"52:54:00:00:00:{last:02x}")
    return VmNic(fabric="in", port_group=group, network=network, mac=mac, mtu=Mtu(mtu))


VM = Vm(
    name="7",
    pool="p",
    host=SCOPE,
    vcpus=1,
    memory=Bytes(64 << 20),
    boot=KernelBoot(kernel=KERNEL, initrd="", cmdline="a 'b' \"c\" <$(id)> &"),
    disks=(Disk(target="vda", size=Bytes(5_000_001), storage="my disks"),),
    nics=(nic("--x $(id) y", "dmz", 1), nic("mixed", "web", 2, 9000)),
)

ODD_VM = replace(
    VM,
    name="--v $(id) 'q\" <&>",
    disks=(),
    nics=(),
    running=False,
    autostart=False,
    boot=KernelBoot(kernel=KERNEL, initrd=""),
)

SITE = Site(
    name="lab",
    fabrics={"in": Fabric(name="in", bridge="brint", libvirt_network='intern $(id) x"')},
    networks=NETWORKS,
    port_groups=GROUPS,
    pools={"p": Pool(name="p", platform=HostPlatform.KVM, hosts=(SCOPE,))},
    hosts={
        SCOPE: Host(
            name=SCOPE,
            pool="p",
            platform=HostPlatform.KVM,
            access=Access(address=SCOPE),
            attachments=(Attachment(fabric="in", uplink=None, networks=tuple(NETWORKS), bridge="brint"),),
        )
    },
    storage={("p", "my disks"): Storage(name="my disks", pool="p", kind="dir", path="/mnt/di sk's & <more>")},
    vms={vm.name: vm for vm in (VM, ODD_VM)},
)


POOL = "my disks"
DISKS = SITE.storage["p", POOL].path

NAME = SITE.fabrics["in"].libvirt_network

BARE = replace(SITE, storage={}, vms={})
"""The site with networks only."""

STORED_VM = replace(VM, nics=(), running=False)

STORED = replace(
    SITE,
    port_groups={},
    hosts={SCOPE: replace(SITE.hosts[SCOPE], attachments=())},
    vms={VM.name: STORED_VM},
)
"""The site with storage only, and a VM that is shut off."""


def no_marks(host: Lab) -> bool:
    """Whether no mark is left on the host."""
    return host.sh("find /var/lib/grappe/marks -type f 2>/dev/null || true") == ""


class Bench:
    """Plans a site with the libvirt parts alone, bridges taken as given, and runs the plan on a host."""

    def __init__(self, host: Lab, site: Site) -> None:
        self.host, self.site = host, site
        self.platform = Platform(LibvirtPart())
        host.sh('head -c 4096 /dev/zero > "$1"', KERNEL)

    def see(self) -> Observation:
        """What is there now, with the bridges that the networks need."""
        answers = self.host.run(self.platform.questions())
        seen = self.platform.understand(self.site, SCOPE, answers)
        bridges = [Resource(Key(SCOPE, "ovs-bridge", b), role=Role.DERIVED) for b in ("br0", "brint")]
        return replace(seen, resources={**seen.resources, **{b.key: b for b in bridges}})

    def plan(self, choices: Choices = NO_CHOICES) -> Plan:
        """The plan from what is there now."""
        survey = Survey({SCOPE: self.see()})
        return plan_site(self.site, "digest", survey, {SCOPE: self.platform}, choices)

    def apply(self, choices: Choices = NO_CHOICES) -> Plan:
        """Plan and run every step; nothing may be refused."""
        plan = self.plan(choices)
        assert not plan.refusals, [str(r) for r in plan.refusals]
        for script in forward(plan):
            self.host.must(script)
        return plan

    def undo(self, plan: Plan) -> None:
        """Run every undo, last step first."""
        for script in backward(plan):
            self.host.must(script)

    def run_again(self, plan: Plan) -> None:
        """Run every step once more."""
        for script in forward(plan):
            self.host.must(script)

    def scripts(self, plan: Plan) -> list[Script]:
        """Forward scripts of a plan, in order."""
        return forward(plan)

    def texts(self) -> dict[str, object]:
        """What is there, compared by text: port groups in any order, since libvirt appends."""
        found: dict[str, object] = {}
        for key, seen in self.see().resources.items():
            facts = {n: _canonical(v) for n, v in seen.facts.items()}
            found[str(key)] = (seen.running, seen.persistent, seen.marked, facts)
        return found

    def wanted_but_not_seen(self) -> dict[str, object]:
        """Desired attributes that do not read back as themselves, by resource."""
        seen = self.see()
        found: dict[str, object] = {}
        for wanted in self.platform.lower(self.site, SCOPE, seen).resources:
            there = seen.resources.get(wanted.key)
            off = (
                "missing"
                if there is None
                else differences(wanted.running, there.running)
                | differences(wanted.persistent, there.persistent)
            )
            if off:
                found[str(wanted.key)] = off
        return found


def _canonical(value: object) -> object:
    """A network's document with its port groups sorted; white space between elements says nothing."""
    if not (isinstance(value, str) and value.startswith("<")):
        return value
    root = parse(value)
    for element in root.iter():
        element.text, element.tail = (element.text or "").strip(), None
    groups = sorted(root.findall("portgroup"), key=text_of)
    drop(root, "portgroup")
    root.extend(groups)
    for devices in root.findall("devices"):  # libvirt lists controllers in the order it came to know them
        controllers = sorted(devices.findall("controller"), key=text_of)
        drop(devices, "controller")
        devices.extend(controllers)
    for target in root.findall("target"):
        drop(target, "permissions")  # libvirt adds what it found when the pool was started
    return text_of(root)


def forward(plan: Plan) -> list[Script]:
    """Scripts of a plan, in order."""
    return [step.forward for stage in plan.stages for step in stage.steps]


def backward(plan: Plan) -> list[Script]:
    """Undo scripts of a plan, last step first."""
    return [step.undo for stage in reversed(plan.stages) for step in reversed(stage.steps)]
