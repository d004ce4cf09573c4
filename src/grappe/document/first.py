"""The first file: what `grappe init` writes. Small, commented, and right as it stands."""

from __future__ import annotations

from collections.abc import Sequence

from grappe.model.site import Platform

_HEAD = """\
# A Grappe site: everything in one file. `grappe check` says what is wrong or risky, `grappe plan` what would
# change, `grappe twin up` brings it up on this machine to try it. `grappe schema` lets an editor complete it.
site: {site}

# A network is a VLAN of a fabric (one layer-2 domain); without `vlan:` it is the fabric's untagged segment.
networks:
  office:  {{fabric: office, subnet: 192.168.10.0/24, gateway: .254, roles: [management]}}
  front:   {{fabric: rack, vlan: 10, subnet: 10.10.1.0/24}}
  storage: {{fabric: rack, vlan: 12, subnet: 10.12.1.0/24, mtu: 9000, roles: [storage, migration]}}

pools:
  pool:
    platform: {platform}
    storage: {{images: /var/lib/libvirt/images}}
    attach:                      # the same on every host; a host may replace an entry
      {management}: {{networks: [office], bridge: false}}   # no VM here: the address stays on the NIC
      {uplink}: [front, storage]
    hosts:
"""

_SWITCHES = """
# What a switch port that faces a host must carry follows from the cable.
switches:
  {switch}: {{platform: ovs_switch, access: root@192.168.10.241}}
  desk: {{platform: unmanaged}}   # nobody configures it from here
"""

_VMS = """
# test-guest is Grappe's own tiny guest; real machines boot {image: /path} or {kernel: …, initrd: …}.
vms:
"""


def first_file(
    *,
    site: str = "home-lab",
    hosts: Sequence[str] = ("h1", "h2"),
    platform: Platform = Platform.KVM,
    switch: str | None = "sw1",
    management: str = "eth0",
    uplink: str = "eth1",
) -> str:
    """Return the text of a first declaration: hosts with a NIC for management and one for the rest.

    It loads as it stands when the names are names and the hosts are not more than 200. `switch` None: no
    switch that Grappe configures, and no cables.
    """
    head = _HEAD.format(site=site, platform=platform, management=management, uplink=uplink)
    cables = f", cables: {{{{{management}: desk/{{n}}, {uplink}: {switch}/p{{n}}}}}}" if switch else ""
    switches = _SWITCHES.format(switch=switch) if switch else ""
    lines = [f"      {_host(name, i, cables.format(n=i))}\n" for i, name in enumerate(hosts, start=1)]
    vms = [f"  {_vm(i, name)}\n" for i, name in enumerate(hosts[:2], start=1)]
    return "".join([head, *lines, switches, _VMS, *vms])


def _host(name: str, number: int, cables: str) -> str:
    end = f".{10 + number}"
    return f"{name}: {{addresses: {{office: {end}, storage: {end}}}{cables}}}"


def _vm(number: int, host: str) -> str:
    nics = f"[{{network: front, address: .{20 + number}}}]"
    return f"vm{number}: {{memory: 128M, boot: test-guest, host: {host}, nics: {nics}}}"
