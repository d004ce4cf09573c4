"""Codes of addressing."""

from grappe.check.code import Code
from grappe.model.finding import Severity

OVERLAPPING_SUBNETS = Code(
    name="overlapping-subnets",
    severity=Severity.ERROR,
    title="Two networks of one fabric have overlapping subnets",
    what="Two networks (VLANs) of the same fabric declare subnets that share addresses.",
    why="""
    A host or router that is on both has two routes to the same addresses and uses one of them: half of the
    machines answer, the other half are silent, and which half changes with the order of boot.
    """,
    mend="Give each network a subnet of its own, or make the two one network.",
)
SAME_SUBNET_TWO_PATHS = Code(
    name="same-subnet-two-paths",
    severity=Severity.RISK,
    title="The same subnet lies on two fabrics",
    what="Two networks on different fabrics declare the same (or overlapping) addresses.",
    why="""
    The subnet can be reached over two layer-2 paths. A host with a leg in both answers ARP on either, sends
    on the one whose route came first, and traffic meant for the fast wire takes the slow one. Home labs
    have lived with it: management on the 1G office switch and the VMs' LAN on the 10G rack switch, both
    192.168.10.0/24. It works until both wires are joined once, and then it loops.
    """,
    mend="""
    Number one of them anew. If the two are one segment on purpose and no host has addresses on both,
    acknowledge it with the reason.
    """,
)
DUPLICATE_ADDRESS = Code(
    name="duplicate-address",
    severity=Severity.ERROR,
    title="One address is given twice",
    what="Two hosts or VMs declare the same IP address on one network.",
    why="""
    Both answer ARP for it. Whoever answered last gets the traffic, so connections hang in turns; when the
    address is a host's management address, the wrong machine is configured.
    """,
    mend="Change one of the two. A floating address (VRRP, keepalived) belongs to neither: leave it out.",
)
DUPLICATE_MAC = Code(
    name="duplicate-mac",
    severity=Severity.ERROR,
    title="One MAC address is given twice",
    what="Two NICs (of VMs, or of a VM and a host) declare the same MAC address.",
    why="""
    Every switch on the way learns one port per MAC and moves it with each frame: both machines lose most of
    their traffic. It comes from copying a VM's definition together with its MAC.
    """,
    mend="""
    Remove the MAC of one of the VMs: it is then derived from the VM's name and never collides with it.
    """,
)
MULTICAST_MAC = Code(
    name="multicast-mac",
    severity=Severity.ERROR,
    title="A MAC address is a group address",
    what="The lowest bit of the first byte is set: the address names a group of receivers, not a card.",
    why="""
    A frame can never come from a group. Linux and the switches drop it, libvirt refuses the domain:
    "expected unicast mac address".
    """,
    mend="Make the first byte even: 02, 52, 00 …",
)
MAC_SCHEME_BROKEN = Code(
    name="mac-scheme-broken",
    severity=Severity.WARNING,
    title="A MAC that should spell its VLAN spells another",
    what="A VM's MACs are alike but for one byte, which spells the VLAN of each NIC, except on this NIC.",
    why="""
    People write the VLAN into the MAC (00:16:3e:73:63:b5 on VLAN 73) to read captures more easily. One byte
    holds two digits: a VLAN above 255 does not fit, nor one above 99 written in decimal, and a copied line
    keeps its old number. The capture then names the wrong network, and two NICs soon share a MAC.
    """,
    mend="Write the VLAN that the NIC is on, or leave all MACs of the VM to be derived.",
)
ADDRESS_WITHOUT_PREFIX = Code(
    name="address-without-prefix",
    severity=Severity.RISK,
    title="An address stands alone: its prefix is /32 (or /128)",
    what="An address covers only itself although its network holds other machines.",
    why="""
    `ip addr add 10.99.1.250 dev …` without a prefix makes a /32: the address is there, ping to itself
    works, and no neighbour can be reached because no route was made. The hypervisor of a published KVM +
    Open vSwitch set-up lost its way to its own VMs like that.
    """,
    mend="""
    Write the prefix (10.99.1.250/24), or declare the network's subnet so that it follows. Acknowledge it
    where the provider really routes single addresses.
    """,
)
ADDRESS_PREFIX_DIFFERS = Code(
    name="address-prefix-differs",
    severity=Severity.RISK,
    title="An address has another prefix length than its network",
    what="The address lies in the subnet, but its prefix length is not the subnet's.",
    why="""
    The machine takes neighbours for far away (and asks the router for them) or far ones for neighbours (and
    asks by ARP in vain). One direction works, the other does not.
    """,
    mend="Drop the prefix, so that the network's applies, or correct the subnet.",
)
ADDRESS_OUTSIDE_SUBNET = Code(
    name="address-outside-subnet",
    severity=Severity.ERROR,
    title="A host's address is outside its network's subnet",
    what="A host shall have an address on a network whose subnets do not contain it.",
    why="""
    The host hears its neighbours and cannot answer them. On the management network it is lost at once.
    """,
    mend="Correct the address, or the network that it is on.",
)
VM_ADDRESS_OUTSIDE_SUBNET = Code(
    name="vm-address-outside-subnet",
    severity=Severity.WARNING,
    title="A VM's address is outside its network's subnet",
    what="A VM declares an address that the subnets of its network do not contain.",
    why="""
    Usually the NIC is on the wrong network, or the address was copied. The guest then has a link and no
    neighbours.
    """,
    mend="""
    Correct the address or the NIC's network. Acknowledge it for an address that is routed to the VM.
    """,
)
RESERVED_ADDRESS = Code(
    name="reserved-address",
    severity=Severity.ERROR,
    title="An address is the network's own or its broadcast address",
    what="The first or the last address of an IPv4 subnet is given to a machine or named as gateway.",
    why="""
    Nobody can talk to it: the first address stands for the subnet, the last one for everybody in it. Linux
    accepts it without a word.
    """,
    mend="Take an address between them.",
)
GATEWAY_OUTSIDE_SUBNET = Code(
    name="gateway-outside-subnet",
    severity=Severity.ERROR,
    title="A gateway is outside its network's subnet",
    what="The gateway of a network is not one of its neighbours.",
    why="""
    The default route is refused ("Nexthop has invalid gateway") and `ifup` stops there: after the next boot
    the host has its address and no way out.
    """,
    mend="Correct the gateway, or the subnet.",
)
GATEWAY_ON_STORAGE = Code(
    name="gateway-on-storage",
    severity=Severity.RISK,
    title="A storage network has a gateway",
    what="A network with the role storage declares a gateway, so it is routed.",
    why="""
    Replication and disks then leave the wire that was bought for them as soon as a route prefers it, and
    whoever reaches the gateway reaches the storage protocol, which seldom asks for a password. Jumbo frames
    meet a router that drops them.
    """,
    mend="""
    Remove the gateway: machines on the storage network are neighbours. Keep what must be routed on a
    network of its own.
    """,
)
TWO_DEFAULT_GATEWAYS = Code(
    name="two-default-gateways",
    severity=Severity.RISK,
    title="A host would have two default gateways",
    what="A host has addresses on two networks that both declare a gateway of the same IP version.",
    why="""
    There is one default route. With two, ifupdown's second one fails ("File exists") and leaves the
    interface half up, or answers leave by the wrong network and a firewall drops them.
    """,
    mend="Leave out the host's address on one of the networks, or that network's gateway.",
)
HOST_WITHOUT_ADDRESS = Code(
    name="host-without-address",
    severity=Severity.RISK,
    title="A host of the pool has no address on a network that needs one",
    what="""
    A management, storage or migration network is used by the pool, but some of its hosts have no address on
    it.
    """,
    why="""
    The VLAN is there and nobody is at home: storage on the other hosts cannot be reached from this one, and
    a migration to it takes the management wire or fails when it is already under way.
    """,
    mend="Give each host of the pool an address on it, or take the role away.",
)
ADDRESS_NOT_ATTACHED = Code(
    name="address-not-attached",
    severity=Severity.ERROR,
    title="A host has an address on a network that it is not attached to",
    what="An address is declared for a host, but none of its attachments carries the network.",
    why="The address would stand on a port that no frame of that network reaches.",
    mend="Add the network to one of the host's attachments, or remove the address.",
)
