"""Codes of MTU."""

from grappe.check.code import Code
from grappe.model.finding import Severity

VLAN_MTU_ABOVE_UPLINK = Code(
    name="vlan-mtu-above-uplink",
    severity=Severity.ERROR,
    title="A network's MTU is above its uplink's",
    what="A network has a larger MTU than the NIC or bond that it crosses.",
    why="""
    The large frames are dropped without a word: ping works, ssh works, and a copy of a disk stands still.
    XCP-ng accepts such a VLAN and drops the larger value in silence.
    """,
    mend="Raise the attachment's `mtu:` (leave it out and it follows), or lower the network's.",
)
PATH_MTU_TOO_SMALL = Code(
    name="path-mtu-too-small",
    severity=Severity.ERROR,
    title="One hop on the path is smaller than the network's MTU",
    what="A switch port or a switch's bridge passes smaller frames than a network that crosses it.",
    why="""
    One hop is enough. Layer 2 has no way to say "too big": the frame is gone, connections open and then
    hang at the first full-sized packet. Jumbo frames have to be set on every port, the bridge, the NIC and
    the VLAN: port 9100 ≥ bridge 9000 ≥ NIC 9000 ≥ VLAN 9000.
    """,
    mend="Raise the MTU of the hop that is named, or leave it out: it then follows from the networks.",
)
VM_MTU_ABOVE_NETWORK = Code(
    name="vm-mtu-above-network",
    severity=Severity.ERROR,
    title="A VM's NIC has a larger MTU than its network",
    what="A VM sends larger frames than its network carries.",
    why="Small packets pass, large ones disappear: the VM answers ping and its web pages never finish.",
    mend="Lower the NIC's MTU, or raise the network's.",
)
NATIVE_MTU_ABOVE_NETWORK = Code(
    name="native-mtu-above-network",
    severity=Severity.RISK,
    title="The untagged network gets its uplink's larger MTU",
    what="""
    On XCP-ng the untagged network of a NIC is the NIC's own network: it has the NIC's MTU, not its own.
    """,
    why="""
    In a published set-up eth1 was set to 9000 for the storage VLAN while the plan said that the LAN,
    untagged on the same NIC, has 1500. The VMs on it were given 9000 and sent frames that the rest of the
    LAN drops.
    """,
    mend="""
    Give the untagged network a VLAN id, or keep it off the uplink with jumbo frames. Acknowledge it if
    every guest sets its own MTU.
    """,
)
NATIVE_MTUS_DIFFER = Code(
    name="native-mtus-differ",
    severity=Severity.WARNING,
    title="One untagged segment, uplinks of different MTU",
    what="Hosts have the same untagged network on uplinks whose MTUs differ.",
    why="""
    A bridge passes what its uplink takes: on some hosts guests get large frames out, on others not. It is
    seen after a migration, as a connection that hangs.
    """,
    mend="Use one MTU for the fabric's uplinks.",
)
JUMBO_WITH_GATEWAY = Code(
    name="jumbo-with-gateway",
    severity=Severity.WARNING,
    title="A network with jumbo frames has a gateway",
    what="A network with an MTU above 1500 is routed.",
    why="""
    The router has to take the large frames and tell each sender that the Internet does not. Where its
    "fragmentation needed" is filtered, connections hang.
    """,
    mend="Keep jumbo frames to networks without a gateway, or make sure of the router's interface.",
)
IPV6_MTU_TOO_SMALL = Code(
    name="ipv6-mtu-too-small",
    severity=Severity.ERROR,
    title="An IPv6 network has an MTU below 1280",
    what="IPv6 needs an MTU of 1280 bytes (RFC 8200, section 5).",
    why="Linux turns IPv6 off on the interface, and its addresses disappear.",
    mend="Raise the MTU to 1280 or more.",
)
