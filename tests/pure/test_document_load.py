"""What a declaration becomes: short forms, derived values, positions, digest."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

import pytest

from grappe.document import DeclarationError, Document, Position, first_file, load, loads
from grappe.model.site import (
    Access,
    BondMode,
    Datapath,
    Host,
    ImageBoot,
    KernelBoot,
    PortRef,
    Role,
    SpanningTree,
    VmNic,
    vm_mac,
)
from grappe.model.units import parse_mac

SITE = """\
site: lab
networks:
  office:  {fabric: office, subnet: 192.168.10.0/24, gateway: .253, dns: [.30, 1.1.1.1], roles: management}
  LAN:     {fabric: rack, subnet: 192.168.20.0/24}
  front:   {fabric: rack, vlan: 10, subnet: [10.10.1.0/24, "2001:db8:10::/64"]}
  storage: {fabric: rack, vlan: 12, subnet: 10.12.0.0/16, mtu: 9000, port_group: false}
pools:
  kvm:
    platform: kvm
    datapath: userspace
    storage: {images: /srv/images}
    attach:
      eth0: {networks: [office], bridge: no}
      bond0: {fabric: rack, spanning_tree: rstp, registered_macs: [52-54-00-AA-BB-CC]}
    bonds: {bond0: {members: [eth1, eth2], mode: lacp}}
    hosts:
      h1:
        addresses: {office: .11, storage: .3.1, front: [.11, "::11"], LAN: .11}
        cables: {eth0: desk/1, eth1: sw1/p1, eth2: sw1/p2}
        nics: {eth1: {mac: "02:00:00:00:00:01"}, eth3: {pci: "0000:03:00.0"}}
        cpus: 8
        memory: 64G
      h2:
        addresses: {office: .12}
        access: root@192.0.2.1:2222
        attach: {bond0: [], eth9: [front]}
        datapath: kernel
        maintenance: yes
switches:
  sw1: {platform: ovs_switch, ports: {p8: {to: desk/9, networks: [LAN, front]}, p9: front}}
  desk: {platform: unmanaged}
vms:
  web:
    vcpus: 2
    memory: 1.5G
    boot: {kernel: /boot/vmlinuz, initrd: /boot/initrd, cmdline: quiet}
    nics: [front, {network: front, address: [.21, "::21"], mac: "52:54:00:00:00:01"}]
  db:
    memory: 1G
    host: h2
    boot: {image: /srv/debian.qcow2}
    disks: [10G, {size: 1T, on: images}]
    nics: [LAN]
    state: stopped
    autostart: off
"""


@pytest.fixture(scope="module")
def document() -> Document:
    return loads(SITE, "site.yaml")


@pytest.fixture(scope="module")
def h1(document: Document) -> Host:
    return document.site.hosts["h1"]


def test_network_short_addresses_are_completed_from_the_subnet(document: Document) -> None:
    office = document.site.networks["office"]
    assert office.gateways == (ip_address("192.168.10.253"),)
    assert office.dns == (ip_address("192.168.10.30"), ip_address("1.1.1.1"))
    assert office.roles == {Role.MANAGEMENT}


def test_network_may_have_a_subnet_of_each_family(document: Document) -> None:
    subnets = document.site.networks["front"].subnets
    assert subnets == (ip_network("10.10.1.0/24"), ip_network("2001:db8:10::/64"))


def test_fabric_names_are_derived(document: Document) -> None:
    rack = document.site.fabrics["rack"]
    assert (rack.bridge, rack.libvirt_network) == ("br-rack", "rack")


def test_long_fabric_name_gives_a_bridge_name_linux_takes() -> None:
    text = "site: s\nnetworks: {LAN: {fabric: a-rather-long-fabric}}\n"
    assert loads(text).site.fabrics["a-rather-long-fabric"].bridge == "br-a-rather-lon"


def test_site_with_one_fabric_needs_not_name_it() -> None:
    site = loads("site: s\nnetworks: {LAN: {}, web: {vlan: 5}}\n").site
    assert {n.fabric for n in site.networks.values()} == {"main"}


def test_network_without_fabric_is_on_the_only_declared_one() -> None:
    site = loads("site: s\nfabrics: {rack: }\nnetworks: {web: {vlan: 5}}\n").site
    assert site.networks["web"].fabric == "rack"


def test_range_of_vlans_expands_name_subnet_gateway_and_port_group() -> None:
    text = """
site: s
networks:
  "svc{vlan}":
    vlan: "100-101, 105"
    subnet: "10.{vlan}.1.0/24"
    gateway: "10.{vlan}.1.1"
    port_group: "{vlan}"
port_groups: {all: "svc*", two: [svc105, "svc10[01]"]}
"""
    site = loads(text).site
    assert list(site.networks) == ["svc100", "svc101", "svc105"]
    svc = site.networks["svc101"]
    assert (svc.vlan, svc.subnets, svc.gateways) == (
        101,
        (ip_network("10.101.1.0/24"),),
        (ip_address("10.101.1.1"),),
    )
    assert site.port_groups["main", "101"].native == "svc101"
    assert not site.port_groups["main", "101"].explicit
    assert site.port_groups["main", "all"].tagged == ("svc100", "svc101", "svc105")
    assert site.port_groups["main", "two"].tagged == ("svc105", "svc100", "svc101")


def test_port_group_false_makes_none(document: Document) -> None:
    assert {name for _, name in document.site.port_groups} == {"LAN", "front"}


def test_untagged_network_of_a_fabric_without_vlans_needs_no_port_group() -> None:
    text = """
site: s
networks: {LAN: {}}
pools: {p: {platform: kvm, attach: {eth0: [LAN]}, hosts: {h: }}}
vms: {a: {memory: 1G, boot: test-guest, nics: [LAN]}}
"""
    site = loads(text).site
    assert not site.port_groups
    assert (site.vms["a"].nics[0].port_group, site.vms["a"].nics[0].network) == ("", "LAN")


def test_port_group_with_a_native_network() -> None:
    text = """
site: s
networks: {LAN: {}, web: {vlan: 5, mtu: 9000}}
port_groups: {mixed: {native: LAN, tagged: [web]}}
pools: {p: {platform: kvm, attach: {eth0: [LAN, web]}, hosts: {h: }}}
vms: {a: {memory: 1G, boot: test-guest, nics: [mixed]}}
"""
    site = loads(text).site
    group = site.port_groups["main", "mixed"]
    assert (group.native, group.tagged, group.explicit) == ("LAN", ("web",), True)
    nic = site.vms["a"].nics[0]
    assert (nic.port_group, nic.network, nic.mtu) == ("mixed", "LAN", 9000)


def test_attachment_on_a_bond_takes_every_network_of_its_fabric(h1: Host) -> None:
    rack = h1.attachment("rack")
    assert rack is not None
    assert (rack.uplink, rack.networks, rack.native) == ("bond0", ("LAN", "front", "storage"), "LAN")
    assert (rack.bridge, rack.mtu, rack.spanning_tree) == ("br-rack", 9000, SpanningTree.RSTP)
    assert rack.registered_macs == frozenset({parse_mac("52:54:00:aa:bb:cc")})


def test_bridge_no_leaves_the_address_on_the_nic(h1: Host) -> None:
    office = h1.attachment("office")
    assert office is not None
    assert office.bridge is None
    assert next(a.port for a in h1.addresses if a.network == "office") == "eth0"


def test_address_ports_are_derived(h1: Host) -> None:
    assert [(a.network, str(a.address), a.port) for a in h1.addresses] == [
        ("office", "192.168.10.11/24", "eth0"),
        ("storage", "10.12.3.1/16", "vlan12"),
        ("front", "10.10.1.11/24", "vlan10"),
        ("front", "2001:db8:10::11/64", "vlan10"),
        ("LAN", "192.168.20.11/24", "br-rack"),
    ]


def test_same_vlan_on_two_fabrics_of_a_host_gives_ports_of_different_names() -> None:
    text = """
site: s
networks:
  a: {fabric: east, vlan: 99, subnet: 10.1.0.0/24}
  b: {fabric: west-of-the-river, vlan: 99, subnet: 10.2.0.0/24}
pools:
  p: {platform: kvm, attach: {eth0: [a], eth1: [b]}, hosts: {h: {addresses: {a: .1, b: .1}}}}
"""
    ports = [a.port for a in loads(text).site.hosts["h"].addresses]
    assert ports == ["vlan99-east", "vlan99-west-of-"]


def test_declared_port_holds_the_address() -> None:
    text = """
site: s
networks: {hv: {vlan: 99, subnet: 10.99.1.0/24}}
fabrics: {inner: {bridge: brint}}
pools:
  p:
    platform: kvm
    attach: {none: {fabric: inner}}
    hosts: {h: {addresses: {hv: {address: .250, port: brint}}}}
"""
    (address,) = loads(text).site.hosts["h"].addresses
    assert (address.address, address.port) == (ip_interface("10.99.1.250/24"), "brint")


def test_none_is_split_by_fabric_and_has_no_uplink() -> None:
    text = """
site: s
networks: {a: {fabric: x, vlan: 1}, b: {fabric: y, vlan: 1}, c: {fabric: x, vlan: 2}}
pools: {p: {platform: kvm, attach: {none: [a, b, c]}, hosts: {h: }}}
"""
    attachments = loads(text).site.hosts["h"].attachments
    assert [(a.fabric, a.uplink, a.networks) for a in attachments] == [
        ("x", None, ("a", "c")),
        ("y", None, ("b",)),
    ]


def test_nics_come_from_attachments_bonds_and_nics(h1: Host) -> None:
    assert set(h1.nics) == {"eth0", "eth1", "eth2", "eth3"}
    assert h1.nics["eth1"].cable == PortRef(switch="sw1", port="p1")
    assert h1.nics["eth1"].mac == "02:00:00:00:00:01"
    assert h1.nics["eth3"].pci == "0000:03:00.0"
    assert h1.bonds["bond0"].mode is BondMode.LACP


def test_host_replaces_what_its_pool_says(document: Document) -> None:
    h2 = document.site.hosts["h2"]
    assert [(a.uplink, a.networks) for a in h2.attachments] == [("eth0", ("office",)), ("eth9", ("front",))]
    assert (h2.datapath, h2.maintenance) == (Datapath.KERNEL, True)
    assert document.site.hosts["h1"].datapath is Datapath.USERSPACE


def test_access_is_declared_or_the_management_address_or_the_name(document: Document) -> None:
    assert document.site.hosts["h1"].access == Access(address="192.168.10.11")
    assert document.site.hosts["h2"].access == Access(address="192.0.2.1", user="root", port=2222)
    assert document.site.switches["sw1"].access == Access(address="sw1")
    assert document.site.switches["desk"].access is None


@pytest.mark.parametrize(
    ("text", "access"),
    [
        ("host.example", Access(address="host.example")),
        ("me@2001:db8::1", Access(address="2001:db8::1", user="me")),
        ('"[2001:db8::1]:22"', Access(address="2001:db8::1", port=22)),
        ("{address: a, port: 22}", Access(address="a", port=22)),
    ],
)
def test_access_forms(text: str, access: Access) -> None:
    site = loads(f"site: s\nswitches: {{sw: {{platform: ovs_switch, access: {text}}}}}\n").site
    assert site.switches["sw"].access == access


def test_switch_port_short_forms(document: Document) -> None:
    ports = document.site.switches["sw1"].ports
    assert (ports["p8"].networks, ports["p8"].native) == (("LAN", "front"), "LAN")
    assert (ports["p9"].networks, ports["p9"].native, ports["p9"].fabric) == ((), "front", "rack")


def test_vm_values(document: Document) -> None:
    web, db = document.site.vms["web"], document.site.vms["db"]
    assert web.boot == KernelBoot(kernel="/boot/vmlinuz", initrd="/boot/initrd", cmdline="quiet")
    assert (web.pool, web.host, web.vcpus, web.memory) == ("kvm", None, 2, 3 << 29)
    assert (web.running, web.autostart, db.running, db.autostart) == (True, True, False, False)
    assert db.boot == ImageBoot(image="/srv/debian.qcow2")
    assert [(d.target, d.size, d.storage) for d in db.disks] == [
        ("vda", 10 << 30, "images"),
        ("vdb", 1 << 40, "images"),
    ]


def test_vm_nics(document: Document) -> None:
    assert document.site.vms["web"].nics == (
        VmNic(fabric="rack", port_group="front", network="front", mac=vm_mac("lab", "web", 0)),
        VmNic(
            fabric="rack",
            port_group="front",
            network="front",
            mac=document.site.vms["web"].nics[1].mac,
            addresses=(ip_interface("10.10.1.21/24"), ip_interface("2001:db8:10::21/64")),
        ),
    )
    assert document.site.vms["web"].nics[1].mac == "52:54:00:00:00:01"


@pytest.mark.parametrize(
    ("path", "where"),
    [
        (("site",), (1, 7)),
        (("networks", "LAN"), (4, 3)),
        (("networks", "LAN", "subnet"), (4, 35)),
        (("networks", "LAN", "gateway"), (4, 3)),
        (("hosts", "h1"), (17, 7)),
        (("pools", "kvm", "hosts", "h1", "addresses", "storage"), (18, 43)),
        (("hosts", "h1", "storage"), (18, 43)),
        (("hosts", "h1", "attach", "bond0", "mtu"), (14, 7)),
        (("hosts", "h2", "attach", "bond0"), (26, 18)),
        (("pools", "kvm", "storage", "images"), (11, 23)),
        (("vms", "web", "nics", 1, "address"), (37, 36)),
        (("port_groups", "front"), (5, 3)),
        (("fabrics", "rack"), (4, 21)),
        (("fabrics", "rack", "bridge"), (4, 21)),
        (("hosts", "h1", "attach", "none"), (12, 5)),
        (("nowhere",), (1, 1)),
        ((), (1, 1)),
    ],
)
def test_position_of_a_place_or_its_nearest_ancestor(
    document: Document, path: tuple[str | int, ...], where: tuple[int, int]
) -> None:
    assert document.position(path) == Position(*where)


def test_position_of_an_expanded_network_is_its_template() -> None:
    document = loads('site: s\nnetworks:\n  "svc{vlan}": {vlan: 7-8}\n')
    assert document.position(("networks", "svc8", "vlan")) == (3, 23)
    assert document.position(("port_groups", "svc8")) == (3, 3)


def test_acknowledgement_places_have_one_full_form() -> None:
    text = first_file() + (
        "accept:\n"
        "  - {finding: a, at: hosts.h1.cables.eth0, reason: r}\n"
        '  - {finding: b, at: "vms.vm1.nics[0]", reason: r}\n'
    )
    accept = loads(text).site.accept
    assert [a.at for a in accept] == [
        ("pools", "pool", "hosts", "h1", "cables", "eth0"),
        ("vms", "vm1", "nics", 0),
    ]
    assert [a.place for a in accept] == [("accept", 0), ("accept", 1)]


def test_name_with_dots_stays_whole_in_a_place() -> None:
    text = "site: s\nswitches: {sw.example.org: {platform: unmanaged}}\n"
    text += "accept: [{finding: a, at: switches.sw.example.org.ports.p1, reason: r}]\n"
    assert loads(text).site.accept[0].at == ("switches", "sw.example.org", "ports", "p1")


def test_digest_counts_what_is_said_and_not_how() -> None:
    plain = loads("site: s\nnetworks: {a: {vlan: 1}, b: {vlan: 2}}\n").digest
    assert loads("# hello\nnetworks:\n  b: {vlan: 2}\n  a:\n    vlan: 1\nsite: s\n").digest == plain
    assert loads("site: s\nnetworks: {a: {vlan: 1}, b: {vlan: 3}}\n").digest != plain
    assert len(plain) == 64


def test_anchors_and_merge_keys_are_understood() -> None:
    text = """
site: s
networks:
  a: &common {vlan: 1, mtu: 9000}
  b: {<<: *common, vlan: 2}
"""
    assert [(n.vlan, n.mtu) for n in loads(text).site.networks.values()] == [(1, 9000), (2, 9000)]


def test_empty_section_counts_as_absent() -> None:
    assert loads("site: s\nfabrics:\nnetworks:\nvms: ~\n").site.networks == {}


def test_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_bytes(b"\xef\xbb\xbfsite: s\n")
    assert load(file).site.name == "s"


def test_too_long_a_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("site: s\n" + "#" * (17 << 20), encoding="ascii")
    with pytest.raises(DeclarationError, match="too long"):
        load(file)


def test_removed_and_guard() -> None:
    site = loads("site: s\nguard: {timeout: 2m}\nremoved: {libvirt_networks: default}\n").site
    assert site.guard.timeout == 120
    assert site.removed == {"libvirt_networks": frozenset({"default"})}


def test_problem_says_its_parts() -> None:
    with pytest.raises(DeclarationError) as raised:
        loads("site: s\nnetworks: {a: {vlan: 5000}}\n", "here.yaml")
    (problem,) = raised.value.problems
    assert problem.path == ("networks", "a", "vlan")
    assert problem.position == Position(2, 22)
    assert (problem.expected, problem.found) == ("a VLAN id from 1 to 4094", "5000")
    assert str(problem).startswith("here.yaml:2:22: networks.a.vlan: ")


@pytest.mark.parametrize("switch", ["sw1", None])
@pytest.mark.parametrize("hosts", [["h1"], ["a", "b"], [f"n{i}" for i in range(200)]])
def test_first_file_loads(hosts: list[str], switch: str | None) -> None:
    site = loads(first_file(site="mine", hosts=hosts, switch=switch)).site
    assert (site.name, list(site.hosts)) == ("mine", hosts)
    assert ("sw1" in site.switches) == (switch is not None)


def test_of_many_names_only_their_number_is_told() -> None:
    hosts = ", ".join(f"h{i}: " for i in range(30))
    text = f"site: s\npools: {{p: {{platform: kvm, hosts: {{{hosts}}}}}}}\n"
    with pytest.raises(DeclarationError) as raised:
        loads(text + "vms: {a: {memory: 1G, boot: test-guest, host: hh7}}\n")
    (problem,) = raised.value.problems
    assert (problem.expected, problem.hint) == ("one of 30 hosts", "did you mean h7?")


def test_a_wrong_name_in_a_thousand_places_is_told_a_thousand_times() -> None:
    vms = "".join(f"  v{i}: {{memory: 1G, boot: test-guest, host: h{i}x}}\n" for i in range(1000))
    with pytest.raises(DeclarationError) as raised:
        loads(f"site: s\npools: {{p: {{platform: kvm, hosts: {{h1: }}}}}}\nvms:\n{vms}")
    assert len(raised.value.problems) == 1000


def test_wrong_leaf_hides_no_wrong_name_and_makes_none() -> None:
    text = SITE.replace("vlan: 12", "vlan: twelve").replace("[LAN, front]", "[LAN, fornt, storage]")
    with pytest.raises(DeclarationError) as raised:
        loads(text)
    assert [p.path[-1] for p in raised.value.problems] == ["vlan", 1]
