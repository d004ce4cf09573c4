"""Codes of VLANs."""

from grappe.check.code import Code
from grappe.model.finding import Severity

DUPLICATE_VLAN = Code(
    name="duplicate-vlan",
    severity=Severity.ERROR,
    title="One VLAN id is used twice in a fabric",
    what="Two networks of one fabric have the same VLAN id, or both are its native segment.",
    why="""
    On the wire they are one network under two names; the isolation that the names promise is not there.
    """,
    mend="Change one VLAN id, or make the two one network. VLAN ids are free again in another fabric.",
)
TWO_NATIVE_NETWORKS = Code(
    name="two-native-networks",
    severity=Severity.ERROR,
    title="Two networks would be untagged on one port",
    what="A port or port group names a native network and also carries the fabric's untagged segment.",
    why="An untagged frame belongs to one network. The other one would be dropped there, in silence.",
    mend="Name one native network, and give the other a VLAN id.",
)
NETWORK_MISSING = Code(
    name="network-missing",
    severity=Severity.ERROR,
    title="A VM's network is missing where the VM runs",
    what="A VM uses a network that its host (or every host of its pool) is not attached to.",
    why="""
    The VM starts, its NIC is up, and it hears nobody; or libvirt refuses it because the port group is not
    there.
    """,
    mend="Add the network to the host's attachment, or place the VM on a host that has it.",
)
NETWORK_MISSING_ON_SOME_HOSTS = Code(
    name="network-missing-on-some-hosts",
    severity=Severity.RISK,
    title="A VM's network is missing on some hosts where the VM may run",
    what="A VM may run on any host of its pool, and some of them do not have one of its networks.",
    why="""
    It works until the VM moves: the migration succeeds, the VM runs, and its network is gone. With a host
    down, the VM may have no place to start.
    """,
    mend="Attach the network on every host of the pool, or pin the VM to a host that has it.",
)
VM_WITHOUT_BRIDGE = Code(
    name="vm-without-bridge",
    severity=Severity.ERROR,
    title="VMs need a bridge where the host has none",
    what="A VM uses a network that its host has on a plain NIC, without a bridge.",
    why="A guest can only be plugged into a bridge.",
    mend="Give the attachment a bridge.",
)
NETWORK_SPLIT = Code(
    name="network-split",
    severity=Severity.ERROR,
    title="A network is in two parts that are not connected",
    what="Hosts have a VLAN on their uplinks, but the switches between them do not carry it all the way.",
    why="""
    Each half works by itself, so it looks right. A VM that moves to the other half has left its network;
    its address answers from nowhere. A VLAN that was forgotten on one trunk is the commonest of all faults.
    """,
    mend="Add the network to the ports of the link between the switches that are named.",
)
UPLINKS_IN_SEPARATE_PARTS = Code(
    name="uplinks-in-separate-parts",
    severity=Severity.RISK,
    title="A bond's links end in switches that are not connected",
    what="The members of a host's bond go to two switches, and no link between them carries the network.",
    why="""
    With active-backup, two hosts hear each other only while both use the same switch. One pulled cable, and
    half of the pool is alone: the fail-over makes the outage.
    """,
    mend="Connect the two switches, with the network on that link.",
)
VLAN_LEAKS = Code(
    name="vlan-leaks",
    severity=Severity.WARNING,
    title="A VLAN is carried to where nobody uses it",
    what="A link between switches carries a VLAN, and behind it no host or declared port is on it.",
    why="""
    Broadcasts fill a wire for nothing, and whoever plugs into that switch hears a network that is not
    theirs.
    """,
    mend="Take the network off the link.",
)
STORAGE_LEAVES_RACK = Code(
    name="storage-leaves-rack",
    severity=Severity.RISK,
    title="A storage network leaves the switches that need it",
    what="A network with the role storage is carried over a link to a switch behind which no host uses it.",
    why="""
    Storage traffic is plain and trusts its neighbours. In the set-ups that do it well, the storage VLAN is
    on the hosts' ports alone and missing from the trunk to the rest of the house.
    """,
    mend="Take the network off that link.",
)
NATIVE_MISMATCH = Code(
    name="native-mismatch",
    severity=Severity.ERROR,
    title="The two ends of a cable take untagged frames for different networks",
    what="""
    At one end untagged frames belong to one network, at the other end to another one, or are dropped.
    """,
    why="""
    Frames change their network on the cable: two VLANs are joined without anybody having asked for it.
    Nothing reports it, and both ends look right.
    """,
    mend="Give both ends the same native network, or tag everything.",
)
VLAN_1_TAGGED = Code(
    name="vlan-1-tagged",
    severity=Severity.WARNING,
    title="VLAN 1 is carried tagged",
    what="A network has the VLAN id 1 and crosses a port with a tag.",
    why="""
    On nearly every switch VLAN 1 is what untagged frames belong to, and what every new port is a member of.
    Tagged, it is dropped by some, untagged by others and mixed with the switch's own management.
    """,
    mend="Leave VLAN 1 untagged (a network without `vlan:`), or take another id.",
)
INTERNAL_NETWORK_ON_TWO_HOSTS = Code(
    name="internal-network-on-two-hosts",
    severity=Severity.RISK,
    title="VMs on one internal network run on different hosts",
    what="""
    A network has no uplink on a host where VMs use it, and other VMs on it are (or may be) elsewhere.
    """,
    why="""
    A bridge without an uplink ends at its host. The VMs have the same subnet, the same VLAN and the same
    name for it, and cannot hear each other.
    """,
    mend="""
    Give the fabric an uplink, place the VMs on one host, or acknowledge that it is one network per host.
    """,
)
NETWORK_UNUSED = Code(
    name="network-unused",
    severity=Severity.INFO,
    title="A network is attached in a pool where nobody uses it",
    what="The hosts of a pool have the network on an uplink; none has an address on it, and no VM uses it.",
    why="""
    It does no harm by itself. It is often what is left of something, or the sign of a VM on the wrong one.
    """,
    mend="Leave it for what is to come, or take it off.",
)
PORT_GROUP_NAMES_DIFFER = Code(
    name="port-group-names-differ",
    severity=Severity.WARNING,
    title="Port groups are named in two ways",
    what="Some access port groups of a fabric are bare numbers (`100`), others have a prefix (`vlan10`).",
    why="""
    A VM is plugged by name. In a published set-up `vlan10` stands next to `100`; whoever writes `vlan100`
    or `10` names a group that is not there, and libvirt takes an unknown group for none at all: the port
    gets no tag and hears every VLAN.
    """,
    mend="Choose one way. Acknowledge it if VMs already use both.",
)
PORT_GROUP_NAME_LIES = Code(
    name="port-group-name-lies",
    severity=Severity.WARNING,
    title="A port group's name says another VLAN than it has",
    what="An access port group is named after a VLAN id, and its network has another one.",
    why="Whoever plugs a VM into `vlan20` expects VLAN 20.",
    mend="Rename the port group, or correct its network.",
)
