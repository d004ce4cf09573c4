"""Virtual machines of a KVM host: their saved definition, and whether they run.

A VM is addressed by its uuid: `virsh` takes a name such as "7" for the number of a running VM. A plan changes
the saved definition only; what a running guest will see at its next start is told as the fact `pending`, and
is no difference any more. A plan never removes a VM; the undo of its making does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element

from grappe.graph.change import Change
from grappe.graph.plan import Disruption, Level
from grappe.graph.resource import Attributes, Desired, Key, Observation, Refusal, Resource, Value
from grappe.model.script import Command, Script, command, script
from grappe.model.site import ImageBoot, KernelBoot, Site, TestGuest, Vm
from grappe.platforms.kvm import domain_xml, testguest
from grappe.platforms.kvm import libvirt_marks as marks
from grappe.platforms.kvm.libvirt_survey import Seen, Survey
from grappe.platforms.kvm.libvirt_virsh import VIRSH
from grappe.platforms.kvm.libvirt_xml import marked_by, parse, set_mark, text_of
from grappe.platforms.kvm.networks import BRIDGE, GROUP, NETWORK, group_name
from grappe.platforms.kvm.storage import VOLUME, places

VM = "vm"

RUNNING, OFF = "running", "shut off"

_MIB = 1 << 20

STOP_LIMIT = 45
"""Seconds that a guest has to shut down after its power button was pressed."""


# --- reading -----------------------------------------------------------------------------------------------


def understand(site: str, scope: str, survey: Survey) -> Iterator[Resource]:
    """VMs of a survey."""
    volumes = {
        file.path: f"{pool.name}/{file.path.rpartition('/')[2]}"
        for pool in survey.pools
        for file in survey.files
        if file.path.rpartition("/")[0] == _directory(pool)
    }
    for seen in survey.domains:
        yield _vm(site, scope, seen, volumes)


def _directory(pool: Seen) -> str | None:
    document = pool.saved if pool.saved is not None else pool.live
    return None if document is None else document.findtext("target/path")


def _vm(site: str, scope: str, seen: Seen, volumes: dict[str, str]) -> Resource:
    live = None if seen.live is None else domain_xml.attributes(seen.live)
    saved = None if seen.saved is None else domain_xml.attributes(seen.saved)
    document = seen.saved if seen.saved is not None else seen.live
    known = saved or live or {}
    return Resource(
        Key(scope, VM, seen.name),
        running={"state": _state(seen)},
        persistent={} if saved is None else {**saved, "autostart": seen.autostart},
        needs=_needs(scope, known, volumes),
        marked=document is not None and marked_by(document) == site,
        facts={
            "site": site,
            "uuid": seen.uuid,
            "pending": () if live is None or saved is None else _pending(live, saved),
            "document": "" if document is None else text_of(document),
        },
    )


def _state(seen: Seen) -> str:
    """libvirt's word for the state; a guest that idles or is about to stop still runs."""
    state = seen.info.get("State", "")
    return RUNNING if state in ("idle", "no state", "in shutdown") else state


def _pending(live: Attributes, saved: Attributes) -> tuple[Value, ...]:
    """Names of attributes that a running guest does not have yet as they are saved."""
    return tuple(name for name in sorted(saved) if live.get(name) != saved[name])


def _needs(scope: str, known: Attributes, volumes: dict[str, str]) -> frozenset[Key]:
    nics, disks = known.get("nics"), known.get("disks")
    found: set[Key] = set()
    for nic in nics if isinstance(nics, tuple) else ():
        if isinstance(nic, tuple):
            found |= _network_keys(scope, str(nic[1]), str(nic[2]))
    for disk in disks if isinstance(disks, tuple) else ():
        if isinstance(disk, tuple) and str(disk[1]) in volumes:
            found.add(Key(scope, VOLUME, volumes[str(disk[1])]))
    return frozenset(found)


def _network_keys(scope: str, network: str, group: str) -> set[Key]:
    bridge = domain_xml.bridge_of(network)
    if bridge is not None:
        return {Key(scope, BRIDGE, bridge)}
    keys = {Key(scope, NETWORK, network)}
    return keys | {Key(scope, GROUP, group_name(network, group))} if group else keys


# --- what is wanted ----------------------------------------------------------------------------------------


def lower(site: Site, scope: str, seen: Observation) -> Desired:
    """The VMs placed on this host."""
    resources: list[Resource] = []
    refusals: list[Refusal] = []
    for vm in site.vms_on(scope):
        try:
            wanted = _wanted(site, scope, vm, seen)
        except ValueError as error:
            hint = "give it fewer addresses, or a boot of its own"
            refusals.append(Refusal("guest-cmdline", f"{scope}/{VM}/{vm.name}", str(error), hint))
            continue
        if wanted.key not in seen.resources and isinstance(vm.boot, TestGuest) and _no_guest(seen):
            refusals.append(_guest_missing(wanted.key))
        else:
            resources.append(wanted)
    return Desired(tuple(resources), refusals=tuple(refusals))


def _no_guest(seen: Observation) -> bool:
    return seen.facts.get("test-guest") is False and seen.facts.get("libvirt") != "down"


def _guest_missing(key: Key) -> Refusal:
    message = f"boots the test guest, and {testguest.KERNEL} or {testguest.INITRD} is not on the host"
    return Refusal(
        "test-guest", str(key), message, "copy both there (the twin does), or give it another boot"
    )


def _wanted(site: Site, scope: str, vm: Vm, seen: Observation) -> Resource:
    key = Key(scope, VM, vm.name)
    present = seen.resources.get(key)
    nics = tuple((str(n.mac), _network(site, n.fabric), n.port_group, int(n.mtu)) for n in vm.nics)
    disks = tuple(places(site, scope, vm, seen))
    volumes = {place.key for place in disks if place.key is not None and not place.unseen}
    networks = {k for _, network, group, _ in nics for k in _network_keys(scope, network, group)}
    return Resource(
        key,
        running={"state": RUNNING if vm.running else OFF},
        persistent={
            "vcpus": vm.vcpus,
            "memory": -(-vm.memory // _MIB) * _MIB,
            "nics": nics,
            "disks": tuple((place.disk.target, place.path) for place in disks),
            "boot": _boot(site, vm),
            "autostart": vm.autostart,
        },
        needs=frozenset(volumes | networks),
        facts={
            "site": site.name,
            "uuid": present.facts["uuid"] if present else marks.derived_uuid(site.name, VM, vm.name),
            "accel": seen.facts.get("accel", "tcg"),
        },
    )


def _network(site: Site, fabric: str) -> str:
    return site.fabrics[fabric].libvirt_network


def _boot(site: Site, vm: Vm) -> tuple[Value, ...]:
    if isinstance(vm.boot, ImageBoot):
        return ("disk",)
    if isinstance(vm.boot, KernelBoot):
        return ("kernel", vm.boot.kernel, vm.boot.initrd, vm.boot.cmdline)
    return ("kernel", testguest.KERNEL, testguest.INITRD, testguest.cmdline(site, vm))


# --- changing ----------------------------------------------------------------------------------------------

# Arguments: uuid, definition (define | undefine | keep), autostart and state (on | off | keep). Standard
# input: the document. libvirt does not show passwords unasked, and a definition without them would lose them:
# such a VM is not changed.
_SET_VM = f"""{VIRSH}
uuid=$1
document=$(cat)
here() {{ ask list --all "$@" --uuid | grep -Fq -e "$uuid"; }}
if [ "$2" = define ]; then
  if here && [ "$(ask dumpxml --inactive "$uuid")" != "$(ask dumpxml --inactive --security-info "$uuid")" ]
  then
    echo "the VM's definition holds a password, which a change would lose: change it with virsh edit" >&2
    exit 1
  fi
  printf '%s\\n' "$document" | ask define --file=/dev/stdin
fi
case $3 in
on) ask autostart "$uuid" ;;
off) ask autostart --disable "$uuid" ;;
esac
case $4 in
on)
  case $(ask domstate "$uuid") in
  running*|idle*) ;;
  paused*) ask resume "$uuid" ;;
  pmsuspended*) ask dompmwakeup "$uuid" ;;
  *) ask start "$uuid" ;;
  esac ;;
off)
  turn=0
  while state=$(ask domstate "$uuid"); [ "$state" != "{OFF}" ]; do
    [ $((turn % 20)) -ne 0 ] || ask shutdown "$uuid" || true
    turn=$((turn + 1))
    if [ $turn -gt {STOP_LIMIT * 2} ]; then
      echo "the VM was asked to shut down {STOP_LIMIT} s ago and is still: $state." >&2
      echo "Shut it down from inside, or pull its plug: virsh destroy $uuid" >&2
      exit 1
    fi
    sleep 0.5
  done ;;
esac
[ "$2" != undefine ] || ! here --persistent || ask undefine "$uuid"
"""

# Argument: uuid. The power buttons of all VMs that shall stop are pressed before one is waited for.
_PRESS = f"""{VIRSH}
ask shutdown "$1" >/dev/null 2>&1 || true
"""

# Argument: uuid. Undo of making a VM: whatever it did since, nobody asked for.
_UNMAKE_VM = f"""{VIRSH}
ask version >/dev/null
! ask list --uuid | grep -Fq -e "$1" || ask destroy "$1"
! ask list --all --uuid | grep -Fq -e "$1" || ask undefine --managed-save "$1"
"""


def realise(changes: Sequence[Change]) -> Script:
    """Render changes of VMs."""
    stopping = [c for c in changes if _stops(c)]
    return script(
        [command("sh", "-c", _PRESS, "stop", _uuid(c)) for c in stopping] if len(stopping) > 1 else [],
        [_command(change) for change in changes],
    )


def _stops(change: Change) -> bool:
    before, after = change.before, change.after
    if before is None or after is None:
        return False
    return before.running.get("state") != OFF and after.running.get("state") == OFF


def _uuid(change: Change) -> str:
    resource = change.after or change.before
    assert resource is not None  # noqa: S101 - a change has one side at least
    return str(resource.facts["uuid"])


def _command(change: Change) -> Command:
    after = change.after
    if after is None:
        return command("sh", "-c", _UNMAKE_VM, "vm", _uuid(change))
    words = (_definition(change.before, after), _autostart(change.before, after), _power(change))
    return command("sh", "-c", _SET_VM, "vm", _uuid(change), *words, stdin=_document(after))


def _definition(before: Resource | None, after: Resource) -> str:
    if not after.persistent:
        return "undefine"
    if before is None or before.marked != after.marked:
        return "define"
    return "keep" if _hardware(before) == _hardware(after) else "define"


def _hardware(vm: Resource) -> Attributes:
    return {name: value for name, value in vm.persistent.items() if name != "autostart"}


def _autostart(before: Resource | None, after: Resource) -> str:
    wanted = after.persistent.get("autostart")
    if wanted is None or (before is not None and before.persistent.get("autostart") == wanted):
        return "keep"
    return "on" if wanted else "off"


def _power(change: Change) -> str:
    before, after = change.before, change.after
    was = OFF if before is None else before.running.get("state")
    shall = OFF if after is None else after.running.get("state")
    if was == shall:
        return "keep"
    return "off" if shall == OFF else "on"


def _document(vm: Resource) -> str:
    """The seen definition with our attributes laid over it, or a new one."""
    domain = _seen_document(vm)
    domain_xml.edit(domain, vm.persistent)
    site = str(vm.facts["site"])
    if vm.marked or marked_by(domain) == site:
        set_mark(domain, VM, site if vm.marked else None)
    return text_of(domain)


def _seen_document(vm: Resource) -> Element:
    text = vm.facts.get("document")
    if text:
        return parse(str(text))
    return domain_xml.skeleton(vm.key.name, str(vm.facts["uuid"]), str(vm.facts.get("accel", "tcg")))


def disruption(change: Change) -> Disruption:
    """Stopping a guest is one; a changed definition waits for the guest's next start."""
    if _stops(change):
        return Disruption(Level.GUEST_RESTART, (f"{change.key} is shut down",))
    before, after = change.before, change.after
    changed = before is not None and after is not None and _hardware(before) != _hardware(after)
    if changed and before is not None and before.running.get("state") == RUNNING:
        return Disruption(Level.NONE, (f"{change.key}: the guest sees it after its next shutdown and start",))
    return Disruption()
