"""Codes of registered MACs."""

from grappe.check.code import Code
from grappe.model.finding import Severity

UNREGISTERED_MAC = Code(
    name="unregistered-mac",
    severity=Severity.ERROR,
    title="A VM would send with a MAC that the provider does not know",
    what="A VM has a NIC on an uplink with `registered_macs`, and its MAC is not one of them.",
    why="""
    Providers who count MACs block the port at the first foreign frame: the server is gone, with all its
    VMs, until their support answers. That is why the published set-up has a bridge of its own for what
    faces the provider.
    """,
    mend="""
    Register the MAC with the provider and add it to `registered_macs`, give the VM a registered one, or
    move it to an internal network.
    """,
)
HOST_MAC_UNREGISTERED = Code(
    name="host-mac-unregistered",
    severity=Severity.ERROR,
    title="The host's own MAC is not registered",
    what="An uplink has `registered_macs`, and the MAC of the host's own NIC is not one of them.",
    why="The host's own frames get the port blocked.",
    mend="Add the NIC's MAC to `registered_macs`.",
)
HOST_MAC_UNKNOWN = Code(
    name="host-mac-unknown",
    severity=Severity.RISK,
    title="Whether the host's own MAC is registered cannot be said",
    what="""
    An uplink has `registered_macs`, and the declaration does not know the MAC of the host's own NIC.
    """,
    why="""
    A bridge that is made together with its uplink may take a MAC of its own choosing and send a multicast
    frame with it, unasked; to compare what will be sent with what is registered the NIC's MAC has to be
    known.
    """,
    mend="Write it: `nics: {eno1: {mac: …}}` (`ip link` shows it).",
)
PROVIDER_MACS_UNCHECKED = Code(
    name="provider-macs-unchecked",
    severity=Severity.WARNING,
    title="VMs face a provider, and nobody says which MACs it knows",
    what="VMs are on a network with the role provider whose uplink has no `registered_macs`.",
    why="""
    Many providers know each MAC of a server and block the port at the first foreign one. Without the list
    Grappe can check nothing, and a VM started with a new MAC takes the server off the net.
    """,
    mend="Write `registered_macs` at the uplink. Acknowledge it where the provider does not count MACs.",
)
