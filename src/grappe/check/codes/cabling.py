"""Codes of cabling."""

from grappe.check.code import Code
from grappe.model.finding import Severity

PORT_CABLED_TWICE = Code(
    name="port-cabled-twice",
    severity=Severity.ERROR,
    title="A switch port has two cables",
    what="Two NICs, or a NIC and another switch, are said to be plugged into one port.",
    why="""
    One of the two lines was copied. The port would be configured for one machine while another is plugged
    in: with the wrong VLANs at best, without management at worst.
    """,
    mend="Look at the switch and correct the cable that is wrong.",
)
UNKNOWN_SWITCH = Code(
    name="unknown-switch",
    severity=Severity.ERROR,
    title="A cable goes to a switch that is not declared",
    what="A cable names a switch that the site does not have.",
    why="Nothing can be said about the path, and no VLAN is opened at its other end.",
    mend="Declare the switch; `platform: unmanaged` if a person configures it.",
)
NIC_WITHOUT_CABLE = Code(
    name="nic-without-cable",
    severity=Severity.WARNING,
    title="A NIC in use has no cable",
    what="An attachment uses a NIC, and the declaration does not say which switch port it is plugged into.",
    why="""
    The switch port is then left as it is: its VLANs and MTU are not checked, not planned and not proved,
    and that is where most VLANs get lost.
    """,
    mend="""
    Write the cable: `cables: {NIC: SWITCH/PORT}`. Acknowledge it where the other end is a provider's.
    """,
)
CABLE_ENDS_DISAGREE = Code(
    name="cable-ends-disagree",
    severity=Severity.ERROR,
    title="The two ends of a cable name different ports",
    what="""
    A switch port says that it leads to another port, which says that it leads elsewhere, or to itself.
    """,
    why="One end is wrong, and Grappe would open VLANs on a port that is plugged into something else.",
    mend="Write the cable at one end only; the other end follows.",
)
PORT_DECLARED_DIFFERENTLY = Code(
    name="port-declared-differently",
    severity=Severity.ERROR,
    title="A switch port is declared otherwise than its cable needs",
    what="""
    A port that faces a host (or another switch) is also declared by hand, with other networks, another
    native network or another fabric.
    """,
    why="""
    What faces a host follows from the host's attachment. Written a second time it drifts: a VLAN is added
    at the host, forgotten at the switch, and the first VM that moves there is silent.
    """,
    mend="Remove the networks from the port; they follow from the cable.",
)
LINK_ENDS_DIFFER = Code(
    name="link-ends-differ",
    severity=Severity.ERROR,
    title="The two ends of a link between switches carry different VLANs",
    what="""
    Both ends of a cable between switches are declared, and one carries a VLAN that the other does not.
    """,
    why="""
    Frames of that VLAN leave one switch and are dropped by the next. The link is up, the counters count,
    and nothing arrives.
    """,
    mend="Declare the networks at one end only; the other end follows.",
)
FABRICS_MERGED = Code(
    name="fabrics-merged",
    severity=Severity.ERROR,
    title="Two fabrics meet in one switch",
    what="A switch carries the same VLAN id (or the untagged segment) for two fabrics.",
    why="""
    A switch knows VLAN ids, not fabrics: the two networks become one. What was meant to be apart (a
    provider's uplink and the internal VLANs) hears each other, and a provider that sees an unknown MAC
    blocks the port.
    """,
    mend="Give the networks different VLAN ids, use two switches, or declare one fabric.",
)
NIC_USED_TWICE = Code(
    name="nic-used-twice",
    severity=Severity.ERROR,
    title="A NIC is used twice",
    what="A NIC is the uplink of two attachments, a member of two bonds, or both.",
    why="A NIC can be in one bridge. The second use takes it away from the first, without an error.",
    mend="Join the attachments into one (several networks can share an uplink), or use another NIC.",
)
