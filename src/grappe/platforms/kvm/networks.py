"""libvirt networks on Open vSwitch bridges, and their port groups, each a resource of its own.

A network is marked in its <metadata> (libvirt keeps it since 2.1); a port group has no room for that and is
marked by a file (`libvirt_marks`). A port group alone is changed by `net-update`, which leaves its neighbours
alone; together with the network it lies in it is defined in one step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from xml.etree.ElementTree import Element, SubElement

from grappe.graph.change import Change
from grappe.graph.plan import Disruption, Level
from grappe.graph.resource import Attributes, Desired, Key, Observation, Refusal, Resource, Value
from grappe.model.script import Command, Script, command, script
from grappe.model.site import Host, PortGroup, Site
from grappe.model.topology import Carriage, carriage
from grappe.platforms.kvm import libvirt_marks as marks
from grappe.platforms.kvm.libvirt_marks import Mark
from grappe.platforms.kvm.libvirt_survey import Seen, Survey
from grappe.platforms.kvm.libvirt_virsh import VIRSH
from grappe.platforms.kvm.libvirt_xml import (
    attribute,
    child,
    drop,
    marked_by,
    parse,
    put,
    set_mark,
    text_of,
)

NETWORK, GROUP = "libvirt-network", "port-group"

BRIDGE = "ovs-bridge"
"""Kind of what a network lies on; another part makes it."""

# libvirt 9.0 writes a port group's name into its XML as it stands, and then cannot read the network again.
_UNWRITABLE = frozenset("<>&'\"")


def group_name(network: str, group: str) -> str:
    """Name of a port group's resource. A libvirt network's name never holds a slash."""
    return f"{network}/{group}"


# --- reading -----------------------------------------------------------------------------------------------


def understand(site: str, scope: str, survey: Survey) -> Iterator[Resource]:
    """Networks and port groups of a survey."""
    for seen in survey.networks:
        yield _network(site, scope, seen)
        yield from _groups(site, scope, seen, survey.marks)


def _network(site: str, scope: str, seen: Seen) -> Resource:
    document = seen.saved if seen.saved is not None else seen.live
    running: Attributes = {"active": False} if seen.live is None else {"active": True, **_wiring(seen.live)}
    saved: Attributes = {}
    if seen.saved is not None:
        saved = {**_wiring(seen.saved), "autostart": seen.autostart}
    wirings = (running, saved)
    bridges = {str(w["bridge"]) for w in wirings if w.get("virtualport") == "openvswitch"}
    return Resource(
        Key(scope, NETWORK, seen.name),
        running=running,
        persistent=saved,
        needs=frozenset(Key(scope, BRIDGE, b) for b in bridges),
        marked=document is not None and marked_by(document) == site,
        facts={"site": site, "uuid": seen.uuid, **_documents(seen.live, seen.saved)},
    )


def _wiring(network: Element) -> dict[str, Value]:
    return {
        "forward": attribute(network, "forward", "mode"),
        "bridge": attribute(network, "bridge", "name"),
        "virtualport": attribute(network, "virtualport", "type"),
    }


def _documents(live: Element | None, saved: Element | None) -> dict[str, Value]:
    found = {"live": live, "saved": saved}
    return {name: text_of(document) for name, document in found.items() if document is not None}


def _groups(site: str, scope: str, seen: Seen, marked: frozenset[Mark]) -> Iterator[Resource]:
    live, saved = _by_name(seen.live), _by_name(seen.saved)
    for name in sorted(live.keys() | saved.keys()):
        key = Key(scope, GROUP, group_name(seen.name, name))
        yield Resource(
            key,
            running=_vlans(live[name]) if name in live else {},
            persistent=_vlans(saved[name]) if name in saved else {},
            needs=frozenset({Key(scope, NETWORK, seen.name)}),
            marked=Mark(GROUP, key.name, seen.uuid, site) in marked,
            facts={"site": site, "parent": seen.uuid, **_documents(live.get(name), saved.get(name))},
        )


def _by_name(network: Element | None) -> dict[str, Element]:
    return {} if network is None else {g.get("name", ""): g for g in network.findall("portgroup")}


def _vlans(group: Element) -> dict[str, Value]:
    """VLANs of a port group. Without <vlan> Open vSwitch lets every VLAN pass: a trunk without a list."""
    vlan = group.find("vlan")
    if vlan is None:
        return {"native": None, "tagged": frozenset[int](), "trunk": True}
    tags = {int(tag.get("id", "0")): tag.get("nativeMode") for tag in vlan.findall("tag")}
    if vlan.get("trunk") != "yes" and len(tags) == 1:
        return {"native": next(iter(tags)), "tagged": frozenset[int](), "trunk": False}
    native = next((tag for tag, mode in tags.items() if mode is not None), None)
    return {"native": native, "tagged": frozenset(tags.keys() - {native}), "trunk": True}


# --- what is wanted ----------------------------------------------------------------------------------------


def lower(site: Site, scope: str, seen: Observation) -> Desired:
    """A network per bridged fabric with all the fabric's port groups; what is declared absent."""
    host = site.hosts[scope]
    resources: list[Resource] = []
    refusals: list[Refusal] = []
    for fabric, bridge in _bridged(host):
        network = _wanted_network(site, scope, site.fabrics[fabric].libvirt_network, bridge, seen)
        resources.append(network)
        for group in (g for (where, _), g in site.port_groups.items() if where == fabric):
            wanted = _wanted_group(site, network, group)
            if _UNWRITABLE & set(group.name):
                refusals.append(_unwritable(wanted))
            else:
                resources.append(wanted)
    return Desired(tuple(resources), absent=_absent(site, scope, seen), refusals=tuple(refusals))


def _unwritable(group: Resource) -> Refusal:
    hint = "give it a name of letters, digits, hyphens"
    message = "libvirt cannot keep a port group with one of < > & ' \" in its name"
    return Refusal("port-group-name", str(group.key), message, hint)


def _bridged(host: Host) -> Iterable[tuple[str, str]]:
    """Fabric and bridge of every fabric that the host bridges: the first bridge when there are several."""
    found: dict[str, str] = {}
    for attachment in host.attachments:
        if attachment.bridge is not None:
            found.setdefault(attachment.fabric, attachment.bridge)
    return found.items()


def _wanted_network(site: Site, scope: str, name: str, bridge: str, seen: Observation) -> Resource:
    key = Key(scope, NETWORK, name)
    wiring: Attributes = {"forward": "bridge", "bridge": bridge, "virtualport": "openvswitch"}
    present = seen.resources.get(key)
    uuid = present.facts["uuid"] if present else marks.derived_uuid(site.name, scope, NETWORK, name)
    return Resource(
        key,
        running={"active": True, **wiring},
        persistent={**wiring, "autostart": True},
        needs=frozenset({Key(scope, BRIDGE, bridge)}),
        facts={"site": site.name, "uuid": uuid},
    )


def _wanted_group(site: Site, network: Resource, group: PortGroup) -> Resource:
    names = (*group.tagged, *((group.native,) if group.native else ()))
    vlans = _carried(carriage(site, names, group.native))
    return Resource(
        Key(network.key.scope, GROUP, group_name(network.key.name, group.name)),
        running=vlans,
        persistent=vlans,
        needs=frozenset({network.key}),
        facts={"site": site.name, "parent": network.facts["uuid"]},
    )


def _carried(carried: Carriage) -> dict[str, Value]:
    tagged = frozenset(int(tag) for tag in carried.tagged)
    native = None if carried.native is None else int(carried.native)
    return {"native": native, "tagged": tagged, "trunk": native is None or bool(tagged)}


def _absent(site: Site, scope: str, seen: Observation) -> frozenset[Key]:
    networks = {Key(scope, NETWORK, name) for name in site.removed.get("libvirt_networks", ())}
    inside = {k for k, r in seen.resources.items() if k.kind == GROUP and r.needs & networks}
    return frozenset(networks | inside)


# --- changing ----------------------------------------------------------------------------------------------

# Arguments: network, definition (define | undefine | keep), running (on | once | off | cycle | keep),
# autostart (on | off | keep). Standard input: the document.
_SET_NETWORK = f"""{VIRSH}
here() {{ ask net-list "$@" --name | grep -Fxq -e "$network"; }}
network=$1
ask version >/dev/null
document=$(cat)
define() {{ printf '%s\\n' "$document" | ask "$1" --file=/dev/stdin; }}
[ "$2" != define ] || define net-define
case $3 in
on) here || ask net-start --network="$network" ;;
once) here || define net-create ;;
off) ! here || ask net-destroy --network="$network" ;;
cycle) ! here || ask net-destroy --network="$network"; ask net-start --network="$network" ;;
esac
[ "$2" != undefine ] || ! here --persistent --all || ask net-undefine --network="$network"
case $4 in
on) ask net-autostart --network="$network" ;;
off) ask net-autostart --disable --network="$network" ;;
esac
"""

# Arguments: network, facet (live | config), document. A network that is not active has nothing live.
_SET_GROUP = f"""{VIRSH}
network=$1
[ "$2" = config ] || ask net-list --name | grep -Fxq -e "$network" || exit 0
ask net-update --network="$network" --command=modify --section=portgroup --xml="$3" "--$2" 2>/dev/null ||
ask net-update --network="$network" --command=add-last --section=portgroup --xml="$3" "--$2"
"""

# The same arguments. A group that is not there, or a network, need not be removed.
_DROP_GROUP = f"""{VIRSH}
network=$1
ask version >/dev/null
ask net-update --network="$network" --command=delete --section=portgroup --xml="$3" "--$2" 2>/dev/null || true
"""


def realise(changes: Sequence[Change]) -> Script:
    """Render changes of networks and port groups; groups of a network that is made or removed go with it."""
    groups = [c for c in changes if c.key.kind == GROUP]
    networks = [c for c in changes if c.key.kind == NETWORK]
    whole = {c.key.name: [g for g in groups if _network_of(g) == c.key.name] for c in networks if _whole(c)}
    kept = [_mark(g.after) for g in groups if g.after is not None and g.after.marked]
    gone = [_mark(g.before or g.after) for g in groups if g.after is None or not g.after.marked]
    return script(
        marks.set_marks(kept),
        [c for change in changes for c in _commands(change, whole)],
        marks.erase_marks(gone),
    )


def _whole(change: Change) -> bool:
    return change.before is None or change.after is None


def _network_of(change: Change) -> str:
    return change.key.name.partition("/")[0]


def _mark(group: Resource | None) -> Mark:
    assert group is not None  # noqa: S101 - a change has one side at least
    return Mark(GROUP, group.key.name, str(group.facts["parent"]), str(group.facts["site"]))


def _commands(change: Change, whole: Mapping[str, Sequence[Change]]) -> Iterator[Command]:
    if change.key.kind == NETWORK:
        yield from _set_network(change, whole.get(change.key.name, ()))
    elif _network_of(change) not in whole:
        yield from _set_group(change)
    elif change.after is not None and change.after.running != change.after.persistent:
        yield from _set_live(change, change.after)


def _set_network(change: Change, groups: Sequence[Change]) -> Iterator[Command]:
    before, after = change.before, change.after
    running = _running(before, after)
    if after is not None and running in ("on", "cycle") and _drifts(after):
        # Only a definition can be started: the live one stands in for the saved one meanwhile.
        live = str(after.facts.get("live", ""))
        yield _network_command(change, "define", running, "keep", live)
        running = "keep"
    definition = "define" if running == "keep" else _definition(before, after)
    document = "" if after is None else _document(after, [g.after for g in groups if g.after is not None])
    yield _network_command(change, definition, running, _autostart(before, after), document)


def _drifts(network: Resource) -> bool:
    """Whether a network was seen to run otherwise than it is saved (only undo brings that back)."""
    drifted = _wired(network.running) != _wired(network.persistent)
    return bool(network.persistent) and "live" in network.facts and drifted


def _network_command(change: Change, definition: str, running: str, autostart: str, document: str) -> Command:
    words = (change.key.name, definition, running, autostart)
    return command("sh", "-c", _SET_NETWORK, "network", *words, stdin=document)


def _definition(before: Resource | None, after: Resource | None) -> str:
    if after is None or not after.persistent:
        return "undefine"
    if before is None or not before.persistent or before.marked != after.marked:
        return "define"
    return "define" if _wired(before.persistent) != _wired(after.persistent) else "keep"


def _wired(facet: Attributes) -> Attributes:
    return {name: facet.get(name) for name in ("forward", "bridge", "virtualport")}


def _running(before: Resource | None, after: Resource | None) -> str:
    if after is None or not after.running.get("active"):
        return "off"
    if not after.persistent:
        return "once"
    if before is None or not before.running.get("active"):
        return "on"
    return "cycle" if _wired(before.running) != _wired(after.running) else "on"


def _autostart(before: Resource | None, after: Resource | None) -> str:
    if after is None or "autostart" not in after.persistent:
        return "keep"
    if before is not None and before.persistent == after.persistent:
        return "keep"
    return "on" if after.persistent["autostart"] else "off"


def _document(network: Resource, groups: Iterable[Resource]) -> str:
    """A network's document: the seen one with our attributes laid over it, or a new one."""
    wiring = _wired(network.persistent or network.running)
    root = _seen_document(network)
    if attribute(root, "forward", "mode") != wiring["forward"]:
        drop(root, "ip", "route", "dns", "domain", "mac", "bridge")  # what only a routed network may have
    put(root, "forward", {"mode": _text(wiring["forward"])})
    put(root, "bridge", {"name": _text(wiring["bridge"])})
    put(root, "virtualport", {"type": _text(wiring["virtualport"])})
    if network.marked or marked_by(root) == network.facts["site"]:
        set_mark(root, "network", str(network.facts["site"]) if network.marked else None)
    present = _by_name(root)
    for group in groups:
        name = group.key.name.partition("/")[2]
        if name in present:
            root.remove(present[name])
        root.append(_group_element(group, "saved"))
    return text_of(root)


def _text(value: Value) -> str | None:
    return None if value is None else str(value)


def _seen_document(network: Resource) -> Element:
    text = network.facts.get("saved") or network.facts.get("live")
    if text is not None:
        return parse(str(text))
    root = Element("network")
    SubElement(root, "name").text = network.key.name
    SubElement(root, "uuid").text = str(network.facts["uuid"])
    return root


def _set_group(change: Change) -> Iterator[Command]:
    before, after = change.before, change.after
    yield from _set_facet(change, before.running if before else {}, after.running if after else {}, "live")
    yield from _set_facet(
        change, before.persistent if before else {}, after.persistent if after else {}, "config"
    )


def _set_live(change: Change, after: Resource) -> Iterator[Command]:
    yield from _set_facet(change, after.persistent, after.running, "live")


def _set_facet(change: Change, before: Attributes, after: Attributes, facet: str) -> Iterator[Command]:
    if before == after:
        return
    network, _, name = change.key.name.partition("/")
    if after and change.after is not None:
        document = text_of(_group_element(change.after, "live" if facet == "live" else "saved"))
        yield command("sh", "-c", _SET_GROUP, "port-group", network, facet, document)
    else:
        document = text_of(Element("portgroup", {"name": name}))
        yield command("sh", "-c", _DROP_GROUP, "port-group", network, facet, document)


def _group_element(group: Resource, facet: str) -> Element:
    """A port group's element: as it was seen, with the VLANs that it shall have."""
    text = group.facts.get(facet) or group.facts.get("saved") or group.facts.get("live")
    name = group.key.name.partition("/")[2]
    element = Element("portgroup", {"name": name}) if text is None else parse(str(text))
    wanted = (group.running if facet == "live" else group.persistent) or group.running
    if _vlans(element) != {k: wanted.get(k) for k in ("native", "tagged", "trunk")}:
        drop(element, "vlan")
        _add_vlans(element, wanted)
    return element


def _add_vlans(group: Element, wanted: Attributes) -> None:
    """Write VLANs. The native segment is tag 0: a port without a tag would carry every VLAN."""
    native, tagged = wanted["native"], wanted["tagged"]
    ids = sorted(tagged) if isinstance(tagged, frozenset) else []
    if native is None and not ids:
        return
    vlan = child(group, "vlan")
    if wanted["trunk"]:
        vlan.set("trunk", "yes")
    if native is not None:
        mode = {"nativeMode": "untagged"} if wanted["trunk"] else {}
        SubElement(vlan, "tag", {"id": str(native), **mode})
    for tag in ids:
        SubElement(vlan, "tag", {"id": str(tag)})


def disruption(change: Change) -> Disruption:
    """A network that stops or moves to another bridge keeps the guests that are plugged in."""
    if change.key.kind == NETWORK and _running(change.before, change.after) in ("off", "cycle"):
        return Disruption(Level.BLIP, (f"{change.key}: no guest can be started on it meanwhile",))
    return Disruption()
