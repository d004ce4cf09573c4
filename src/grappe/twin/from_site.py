"""From a site to what the twin wires: machines, cables, and where the operator stands. Pure.

Only what an electrician would do is taken from the site: which cable goes where, and the address each
machine was installed with. Everything else has to come from a plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_address

from grappe.model.site import Datapath, Host, IPAddress, Network, Site, Switch
from grappe.model.topology import switch_ports
from grappe.model.units import derive_host_mac
from grappe.twin.blueprint import Blueprint, Cable, End, Foothold, Nic, Node, Operator, Segment, Stanza
from grappe.twin.errors import TwinError

MANAGEMENT_PORT = "mgmt"
"""The NIC by which a switch of the twin is reached: out of band, never part of its bridge."""


def adapted(site: Site, machines: Mapping[str, str] | None = None) -> Site:
    """The site as the twin's machines can run it: Open vSwitch in userspace where there is no own kernel."""
    own_kernel = set(machines or ())

    def datapath(name: str, declared: Datapath) -> Datapath:
        return declared if name in own_kernel else Datapath.USERSPACE

    return replace(
        site,
        hosts={n: replace(h, datapath=datapath(n, h.datapath)) for n, h in site.hosts.items()},
        switches={n: replace(s, datapath=datapath(n, s.datapath)) for n, s in site.switches.items()},
    )


def blueprint(site: Site, name: str, machines: Mapping[str, str] | None = None) -> Blueprint:
    """What to wire for a site. `machines` gives hosts another kind of machine: {"h3": "qemu"}.

    Raises TwinError when a machine's way of access cannot be told from the site.
    """
    return _Wirer(site, machines or {}).run(name)


class _Wirer:
    """Collects nodes, cables and segments of one site."""

    def __init__(self, site: Site, machines: Mapping[str, str]) -> None:
        self.site, self.machines = site, machines
        self.ports = switch_ports(site)
        self.cables: list[Cable] = []
        self.segments: dict[str, None] = {}
        self.footholds: dict[str, set[str]] = {}

    def run(self, name: str) -> Blueprint:
        """Wire hosts, switches, then the operator."""
        hosts = [self._host(h) for h in self.site.hosts.values() if not h.maintenance]
        switches = [self._switch(s) for s in self.site.switches.values() if s.managed]
        self._between_switches()
        return Blueprint(
            name=name,
            nodes=(*hosts, *switches),
            cables=tuple(self.cables),
            segments=tuple(Segment(s) for s in self.segments),
            operator=Operator(tuple(self._operator())),
        ).check()

    def _segment(self, name: str) -> str:
        self.segments[name] = None
        return name

    def _managed(self, switch: str) -> bool:
        found = self.site.switches.get(switch)
        return found is not None and found.managed

    def _host(self, host: Host) -> Node:
        network, uplink = self._access(host)
        fabric_of = {nic: a.fabric for a in host.attachments for nic in host.uplink_nics(a)}
        for nic in host.nics.values():
            self._plug(host.name, nic.name, fabric_of.get(nic.name))
        self._remember(network, self._host_segment(host, uplink, network))
        gateway = next((str(g) for g in network.gateways), "")
        address = f"{host.access.address}/{_subnet(network, host.access.address)}"
        return Node(
            name=host.name,
            nics=tuple(
                Nic(n.name, n.mac or derive_host_mac("nic", host.name, n.name)) for n in host.nics.values()
            ),
            installer=(Stanza(uplink, address, gateway),),
            machine=self.machines.get(host.name, "namespace"),
        )

    def _access(self, host: Host) -> tuple[Network, str]:
        """The network and the NIC that the host was installed on."""
        for attachment in host.attachments:
            for name in attachment.networks:
                network = self.site.networks[name]
                nics = host.uplink_nics(attachment)
                if nics and _subnet(network, host.access.address) is not None and network.vlan is None:
                    return network, nics[0]
        raise TwinError(
            f"{host.name}: its access address {host.access.address} is on no untagged network of its NICs",
            "declare a native network with role management that holds it, or set access: to such an address",
        )

    def _host_segment(self, host: Host, nic: str, network: Network) -> str:
        cable = host.nics[nic].cable
        if cable is not None and self._managed(cable.switch):
            raise TwinError(
                f"{host.name}: it is installed over {nic}, which is cabled to {cable}: a switch that has no"
                " bridge before the first plan",
                "cable management to an unmanaged switch, or leave the cable out: the twin then plugs it in",
            )
        return cable.switch if cable else f"outside-{network.fabric}"

    def _plug(self, host: str, nic: str, fabric: str | None) -> None:
        cable = self.site.hosts[host].nics[nic].cable
        if cable is not None and self._managed(cable.switch):
            self.cables.append(Cable(End(host, nic), End(cable.switch, cable.port)))
        elif cable is not None:
            self.cables.append(Cable(End(host, nic), self._segment(cable.switch)))
        elif fabric is not None:
            self.cables.append(Cable(End(host, nic), self._segment(f"outside-{fabric}")))

    def _switch(self, switch: Switch) -> Node:
        access = switch.access.address if switch.access else ""
        network = next((n for n in self.site.networks.values() if _subnet(n, access) is not None), None)
        if network is None:
            raise TwinError(
                f"{switch.name}: its access address {access or '(none)'} is in no subnet of the site",
                f"give switches.{switch.name}.access an address on the management network",
            )
        segment = next((s for s, nets in self.footholds.items() if network.name in nets), None)
        self.cables.append(
            Cable(End(switch.name, MANAGEMENT_PORT), self._segment(segment or f"outside-{network.fabric}"))
        )
        ports = sorted({r.port for r in self.ports if r.switch == switch.name} | set(switch.ports))
        return Node(
            name=switch.name,
            kind="switch",
            nics=tuple(Nic(p, derive_host_mac("nic", switch.name, p)) for p in (MANAGEMENT_PORT, *ports)),
            installer=(Stanza(MANAGEMENT_PORT, f"{access}/{_subnet(network, access)}", start="auto"),),
            libvirt=False,
        )

    def _between_switches(self) -> None:
        """Cables between switches; a port with nothing at its end gets a segment, so that it has carrier."""
        taken = {str(e) for c in self.cables for e in (c.a, c.b) if isinstance(e, End)}
        for ref in sorted(self.ports, key=str):
            here = End(ref.switch, ref.port)
            if not self._managed(ref.switch) or str(here) in taken:
                continue
            port = self.site.switches[ref.switch].ports.get(ref.port)
            other = port.to if port else None
            taken.add(str(here))
            if other is not None and self._managed(other.switch):
                taken.add(str(End(other.switch, other.port)))
                self.cables.append(Cable(here, End(other.switch, other.port)))
            else:
                self.cables.append(
                    Cable(here, self._segment(other.switch if other else f"{ref.switch}-{ref.port}"))
                )

    def _remember(self, network: Network, segment: str) -> None:
        self.footholds.setdefault(self._segment(segment), set()).add(network.name)

    def _operator(self) -> Iterator[Foothold]:
        """On every segment hosts are managed over: the gateway's address and one of the operator's own."""
        taken = {a.split("/")[0] for a in self._addresses()}
        for segment, names in self.footholds.items():
            for name in sorted(names):
                network = self.site.networks[name]
                for subnet in network.subnets:
                    gateways = [g for g in network.gateways if g in subnet]
                    free = _free(subnet.broadcast_address, taken | {str(g) for g in gateways})
                    yield from (Foothold(segment, f"{a}/{subnet.prefixlen}") for a in (free, *gateways))

    def _addresses(self) -> Iterable[str]:
        for host in self.site.hosts.values():
            yield host.access.address
            yield from (str(a.address) for a in host.addresses)
        for switch in self.site.switches.values():
            yield switch.access.address if switch.access else ""
        for vm in self.site.vms.values():
            yield from (str(a) for nic in vm.nics for a in nic.addresses)
        yield from (str(d) for n in self.site.networks.values() for d in n.dns)


def _subnet(network: Network, address: str) -> int | None:
    """Prefix length of the network's subnet that holds an address; None when none does."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    return next((s.prefixlen for s in network.subnets if parsed in s), None)


def _free(last: IPAddress, taken: set[str]) -> str:
    address = last - 1
    while str(address) in taken:
        address -= 1
    return str(address)
