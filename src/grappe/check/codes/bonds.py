"""Codes of bonds and spanning tree."""

from grappe.check.code import Code
from grappe.model.finding import Severity

SPANNING_TREE_ON_BOND = Code(
    name="spanning-tree-on-bond",
    severity=Severity.ERROR,
    title="Spanning tree on a bond of Open vSwitch",
    what="A bridge of Open vSwitch has spanning tree on (STP or RSTP), and one of its ports is a bond.",
    why="""
    Open vSwitch refuses it: it logs "cannot enable RSTP on bonds, disabling" and goes on, ovs-vsctl exits
    0. The port that was to break the loop forwards always, so the loop that spanning tree was there for is
    open to the first broadcast.
    """,
    mend="""
    Use one of the two: a bond where both cables end in one switch, spanning tree where they end in two.
    """,
)
LACP_ACROSS_SWITCHES = Code(
    name="lacp-across-switches",
    severity=Severity.ERROR,
    title="An LACP bond ends in two switches",
    what="The members of an LACP bond are plugged into different switches.",
    why="""
    LACP joins cables between two devices. Two switches that are not one (MLAG, a stack) answer with two
    identities: the bond takes the links of one and leaves the other's down, so the second switch protects
    nothing.
    """,
    mend="""
    Use `mode: active-backup`, which asks nothing of the switches, or plug both cables into one switch.
    Declare a stack as one switch.
    """,
)
BOND_SINGLE_MEMBER = Code(
    name="bond-single-member",
    severity=Severity.WARNING,
    title="A bond has one member",
    what="A bond is declared with a single NIC.",
    why="It reads as if a cable could be pulled, and none can.",
    mend="Add the second NIC, or use the NIC itself as the uplink.",
)
BOND_MEMBER_UNKNOWN = Code(
    name="bond-member-unknown",
    severity=Severity.ERROR,
    title="A bond names a NIC that the host does not have",
    what="A member of a bond, or an attachment's uplink, is not among the host's NICs.",
    why="The bond comes up with what is there, and the missing cable is noticed when the other one fails.",
    mend="Correct the name.",
)
BOND_ONE_SIDED = Code(
    name="bond-one-sided",
    severity=Severity.ERROR,
    title="A bond at one end of the cables only",
    what="One end of a cable is a member of an LACP bond, and the other end is not.",
    why="""
    The end with LACP waits for an answer that never comes and keeps its ports down; or, where it falls
    back, the other end sees one MAC on two ports and moves it with each frame.
    """,
    mend="Declare the bond at both ends, or at none.",
)
SWITCHING_LOOP = Code(
    name="switching-loop",
    severity=Severity.ERROR,
    title="A loop without spanning tree",
    what="""
    Cables close a ring that carries the same VLAN all the way round, and no switch in it speaks spanning
    tree.
    """,
    why="""
    The first broadcast goes round for ever and takes the whole network with it, management included, within
    a second. Nobody can log in to undo it: somebody has to pull a cable.
    """,
    mend="""
    Turn spanning tree on at the switches (`spanning_tree: rstp`), make parallel cables a bond, or take one
    away.
    """,
)
NO_SPANNING_TREE = Code(
    name="no-spanning-tree",
    severity=Severity.RISK,
    title="Spanning tree is off on a switch that is cabled to others",
    what="A switch has links to other switches and does not speak spanning tree.",
    why="""
    It works until somebody plugs in one cable too many, in any switch of the house. A published set-up
    turned it off (`protocol-mode=none`) on the rack's switch while the hosts' other NICs end in switches
    that are cabled to it.
    """,
    mend="Turn it on (`spanning_tree: rstp`), or acknowledge it where nobody else can plug anything in.",
)
LOOP_RELIES_ON_SPANNING_TREE = Code(
    name="loop-relies-on-spanning-tree",
    severity=Severity.INFO,
    title="Redundancy that rests on spanning tree",
    what="Cables close a ring, and spanning tree holds one of them back until it is needed.",
    why="""
    "Pull any cable and nothing stops" is a claim until it was measured: a change of roles loses frames, for
    milliseconds with RSTP and for up to 50 seconds with STP.
    """,
    mend="Pull each cable once under a running ping and keep the figures.",
)
