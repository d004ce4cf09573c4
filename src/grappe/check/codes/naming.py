"""Codes of names."""

from grappe.check.code import Code
from grappe.model.finding import Severity

NAME_TOO_LONG = Code(
    name="name-too-long",
    severity=Severity.ERROR,
    title="An interface name has more than 15 characters",
    what="A bridge, port, bond or NIC has a name that is longer than Linux takes (IFNAMSIZ, 15 bytes).",
    why="""
    `ip` refuses it; Open vSwitch writes it into its database all the same, exits 0, and the port never
    comes up.
    """,
    mend="Use a shorter name.",
)
NAME_REFUSED = Code(
    name="name-refused",
    severity=Severity.ERROR,
    title="A name has characters that the device refuses",
    what="""
    An interface name has a slash, a colon, a space or a character outside ASCII, or starts with a dash or
    dot.
    """,
    why="""
    Linux refuses `/`, `:` and spaces, ifupdown takes a colon for an alias, and programs take a leading dash
    for an option.
    """,
    mend="Use letters, digits, `-`, `_` and `.`.",
)
NAME_COLLIDES = Code(
    name="name-collides",
    severity=Severity.ERROR,
    title="Two things on one device have the same name",
    what="Two ports, bridges, bonds or NICs of a host (or two fabrics' bridges) would have one name.",
    why="There is one interface per name: the second takes the first one's place, or its VLAN tag.",
    mend="Name one of them differently (`bridge:`, `port:`).",
)
