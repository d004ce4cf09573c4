"""A VM as libvirt's domain XML: our attributes read from it, written into it, and a new one.

Format: https://libvirt.org/formatdomain.html. Everything that is not one of our attributes is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from xml.etree.ElementTree import Element, SubElement

from grappe.graph.resource import Attributes, Value
from grappe.platforms.kvm.libvirt_xml import attribute, child, drop, put, put_text

_KIB = 1024
_MEMORY_UNITS = {"b": 1, "bytes": 1, "KiB": _KIB, "MiB": _KIB**2, "GiB": _KIB**3}

_DISK_SOURCES = ("file", "dev", "volume", "name", "dir")

_LOGS = "/var/log/libvirt/qemu"


# --- reading -----------------------------------------------------------------------------------------------


def attributes(domain: Element) -> dict[str, Value]:
    """`vcpus`, `memory` (bytes), `nics`, `disks`, `boot` of a domain.

    nics: (mac, network, port group, mtu or 0) each, with "(TYPE SOURCE)" for what is on no network. disks:
    (target, path) each. boot: ("disk",) or ("kernel", kernel, initrd, command line).
    """
    return {
        "vcpus": int(domain.findtext("vcpu", "1")),
        "memory": _memory(domain),
        "nics": tuple(_nic(nic) for nic in domain.findall("devices/interface")),
        "disks": tuple(_disk(disk) for disk in _disks(domain)),
        "boot": _boot(domain),
    }


def _memory(domain: Element) -> int:
    memory = domain.find("memory")
    if memory is None:
        return 0
    return int(memory.text or 0) * _MEMORY_UNITS.get(memory.get("unit", "KiB"), _KIB)


def _nic(nic: Element) -> tuple[Value, ...]:
    network = attribute(nic, "source", "network") or f"({nic.get('type', '')} {_source(nic)})"
    group = attribute(nic, "source", "portgroup") or ""
    mtu = int(attribute(nic, "mtu", "size") or 0)
    return (_mac(nic), network, group, mtu)


def _source(nic: Element) -> str:
    return attribute(nic, "source", "bridge") or attribute(nic, "source", "dev") or ""


def bridge_of(network: str) -> str | None:
    """The bridge in a nic's "(bridge NAME)"; None for a network or another kind of source."""
    named = network.startswith("(bridge ") and network.endswith(")")
    return network.removeprefix("(bridge ")[:-1] if named else None


def _mac(nic: Element) -> str:
    return (attribute(nic, "mac", "address") or "").lower()


def _disks(domain: Element) -> list[Element]:
    return [d for d in domain.findall("devices/disk") if d.get("device", "disk") == "disk"]


def _disk(disk: Element) -> tuple[Value, ...]:
    source = disk.find("source")
    place = "" if source is None else next((v for n in _DISK_SOURCES if (v := source.get(n))), "")
    return (_target(disk), place)


def _target(disk: Element) -> str:
    return attribute(disk, "target", "dev") or ""


def _boot(domain: Element) -> tuple[Value, ...]:
    kernel = domain.findtext("os/kernel")
    if kernel is None:
        return ("disk",)
    return ("kernel", kernel, domain.findtext("os/initrd", ""), domain.findtext("os/cmdline", ""))


# --- writing -----------------------------------------------------------------------------------------------


def edit(domain: Element, wanted: Attributes) -> None:
    """Lay attributes over a domain; what already is as wanted is not touched."""
    present = attributes(domain)
    for name, write in _WRITERS.items():
        if name in wanted and wanted[name] != present[name]:
            write(domain, wanted[name])


def _write_vcpus(domain: Element, value: Value) -> None:
    put_text(domain, "vcpu", str(value))
    child(domain, "vcpu").attrib.pop("current", None)


def _write_memory(domain: Element, value: Value) -> None:
    for tag in ("memory", "currentMemory"):
        put_text(domain, tag, str((value if isinstance(value, int) else 0) // _KIB))
        child(domain, tag).set("unit", "KiB")


def _write_boot(domain: Element, value: Value) -> None:
    system = child(domain, "os")
    words = [str(w) for w in value] if isinstance(value, tuple) else []
    texts = words[1:] if words[:1] == ["kernel"] else ["", "", ""]
    for tag, text in zip(("kernel", "initrd", "cmdline"), texts, strict=True):
        put_text(system, tag, text or None)


def _write_nics(domain: Element, value: Value) -> None:
    """Known MACs keep their element (model, PCI address, filters); what is not wanted goes."""
    devices = child(domain, "devices")
    known = {_mac(nic): nic for nic in devices.findall("interface")}
    drop(devices, "interface")
    for mac, network, group, mtu in _rows(value):
        nic = known[str(mac)] if str(mac) in known else _new_nic(str(mac))
        if _nic(nic) != (mac, network, group, mtu):
            nic.set("type", "network")
            drop(nic, "source")
            source = {"network": str(network), **({"portgroup": str(group)} if group else {})}
            SubElement(nic, "source", source)
            put(nic, "mtu", {"size": str(mtu) if mtu else None})
        devices.append(nic)


def _new_nic(mac: str) -> Element:
    nic = Element("interface", {"type": "network"})
    SubElement(nic, "mac", {"address": mac})
    SubElement(nic, "model", {"type": "virtio"})
    return nic


def _write_disks(domain: Element, value: Value) -> None:
    """Known targets keep their element; a disk that is not wanted is unplugged, its volume stays."""
    devices = child(domain, "devices")
    known = {_target(disk): disk for disk in _disks(domain)}
    for disk in known.values():
        devices.remove(disk)
    for target, path in _rows(value):
        kept = known.get(str(target))
        same = kept is not None and _disk(kept) == (target, path)
        devices.append(kept if kept is not None and same else _new_disk(str(target), str(path)))


def _new_disk(target: str, path: str) -> Element:
    """A qcow2 file, past the host's page cache, so that a live migration never reads stale pages."""
    disk = Element("disk", {"type": "file", "device": "disk"})
    SubElement(disk, "driver", {"name": "qemu", "type": "qcow2", "cache": "none", "discard": "unmap"})
    SubElement(disk, "source", {"file": path})
    SubElement(disk, "target", {"dev": target, "bus": "virtio"})
    return disk


def _rows(value: Value) -> list[tuple[Value, ...]]:
    return [row for row in value if isinstance(row, tuple)] if isinstance(value, tuple) else []


_WRITERS: Mapping[str, Callable[[Element, Value], None]] = {
    "vcpus": _write_vcpus,
    "memory": _write_memory,
    "boot": _write_boot,
    "nics": _write_nics,
    "disks": _write_disks,
}


# --- new ---------------------------------------------------------------------------------------------------


def skeleton(name: str, uuid: str, accel: str) -> Element:
    """A new domain without our attributes. `accel` is kvm or tcg.

    Under TCG the CPU is the plainest there is, and the cache of translated code is kept small: QEMU would
    otherwise take a gigabyte at most, and tens of megabytes in fact, for each guest.
    """
    domain = Element("domain", {"type": "kvm" if accel == "kvm" else "qemu"})
    put_text(domain, "name", name)
    put_text(domain, "uuid", uuid)
    put_text(domain, "memory", "0")
    put_text(domain, "vcpu", "1")
    kind = SubElement(SubElement(domain, "os"), "type", {"arch": "x86_64", "machine": "q35"})
    kind.text = "hvm"
    features = SubElement(domain, "features")
    SubElement(features, "acpi")
    SubElement(features, "apic")
    if accel == "kvm":
        SubElement(domain, "cpu", {"mode": "host-model"})
    else:
        cache = SubElement(SubElement(features, "tcg"), "tb-cache", {"unit": "MiB"})
        cache.text = "32"
        cpu = SubElement(domain, "cpu", {"mode": "custom", "match": "exact"})
        SubElement(cpu, "model", {"fallback": "allow"}).text = "qemu64"
    _lifecycle(domain)
    _consoles(SubElement(domain, "devices"), name)
    return domain


def _lifecycle(domain: Element) -> None:
    SubElement(domain, "clock", {"offset": "utc"})
    for event, action in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "destroy")):
        put_text(domain, f"on_{event}", action)


def _consoles(devices: Element, name: str) -> None:
    """A serial console that `virsh console` opens and a file keeps; a channel for the guest agent."""
    serial = SubElement(devices, "serial", {"type": "pty"})
    SubElement(serial, "log", {"file": f"{_LOGS}/{name}-console.log", "append": "on"})
    SubElement(serial, "target", {"port": "0"})
    channel = SubElement(devices, "channel", {"type": "unix"})
    SubElement(channel, "target", {"type": "virtio", "name": "org.qemu.guest_agent.0"})
    SubElement(devices, "memballoon", {"model": "none"})
