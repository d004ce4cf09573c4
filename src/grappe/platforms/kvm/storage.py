"""Directory storage pools, and the volumes that VMs' disks are.

Neither has room for a mark in libvirt: both are marked by files. A volume comes into being whole, by a rename
in its directory, and its state at that moment (inode, size, time of change) is kept beside its mark: undo
removes a volume only while nothing was written to it since. No plan ever removes or shrinks one otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element, SubElement

from grappe.graph.change import Change
from grappe.graph.plan import Disruption, Level
from grappe.graph.resource import Attributes, Desired, Key, Observation, Refusal, Resource, Value
from grappe.model.script import Command, Script, command, script
from grappe.model.site import Disk, ImageBoot, Site, Storage, Vm
from grappe.model.units import format_size
from grappe.platforms.kvm import libvirt_marks as marks
from grappe.platforms.kvm.libvirt_marks import Mark
from grappe.platforms.kvm.libvirt_survey import File, Seen, Survey
from grappe.platforms.kvm.libvirt_virsh import VIRSH
from grappe.platforms.kvm.libvirt_xml import drop, parse, text_of

POOL, VOLUME = "storage-pool", "volume"

_SECTOR = 512


def volume_name(vm: str, disk: Disk) -> str:
    """File name of a VM's disk."""
    return f"{vm}-{disk.target}.qcow2"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a VM's disk lies: its path, and its volume's key (None when it lies outside its storage)."""

    disk: Disk
    storage: Storage
    path: str
    key: Key | None
    unseen: bool
    """Whether it is there already but its pool is not: the next plan will see it."""


def places(site: Site, scope: str, vm: Vm, seen: Observation) -> Iterator[Place]:
    """Places of a VM's disks. A disk that the VM has already stays where it is, whatever its file's name."""
    plugged = _plugged(seen.resources.get(Key(scope, "vm", vm.name)))
    for disk in vm.disks:
        storage = site.storage[vm.pool, disk.storage]
        pool = seen.resources.get(Key(scope, POOL, storage.name))
        there = pool.persistent.get("path") if pool is not None else None
        folder = PurePosixPath(str(there or storage.path))
        path = PurePosixPath(plugged.get(disk.target) or str(folder / volume_name(vm.name, disk)))
        key = Key(scope, VOLUME, f"{storage.name}/{path.name}") if path.parent == folder else None
        unseen = pool is None and key is not None and disk.target in plugged
        yield Place(disk, storage, str(path), key, unseen)


def _plugged(vm: Resource | None) -> dict[str, str]:
    disks = vm.persistent.get("disks") if vm is not None else ()
    rows = disks if isinstance(disks, tuple) else ()
    return {str(row[0]): str(row[1]) for row in rows if isinstance(row, tuple)}


# --- reading -----------------------------------------------------------------------------------------------


def understand(site: str, scope: str, survey: Survey) -> Iterator[Resource]:
    """Pools and volumes of a survey."""
    directories: dict[str, Seen] = {}
    for seen in survey.pools:
        pool = _pool(site, scope, seen, survey.marks)
        path = pool.persistent.get("path") or pool.running.get("target")
        if isinstance(path, str) and _type(seen) == "dir":
            directories[path] = seen
        yield pool
    for file in survey.files:
        holder = directories.get(str(PurePosixPath(file.path).parent))
        if holder is not None and not PurePosixPath(file.path).name.startswith("."):
            yield _volume(site, scope, holder, file, survey.marks)


def _type(seen: Seen) -> str:
    document = seen.saved if seen.saved is not None else seen.live
    return "" if document is None else document.get("type", "")


def _pool(site: str, scope: str, seen: Seen, marked: frozenset[Mark]) -> Resource:
    key = Key(scope, POOL, seen.name)
    running: dict[str, Value] = {"active": seen.live is not None}
    saved: dict[str, Value] = {}
    if seen.live is not None:
        running["target"] = seen.live.findtext("target/path")
    if seen.saved is not None:
        path = seen.saved.findtext("target/path")
        saved = {"type": _type(seen), "path": path, "autostart": seen.autostart}
    found = {"live": seen.live, "saved": seen.saved}
    for document in found.values():
        if document is not None:
            drop(document, "capacity", "allocation", "available")  # counters, not configuration
    documents = {name: text_of(document) for name, document in found.items() if document is not None}
    return Resource(
        key,
        running=running,
        persistent=saved,
        marked=Mark(POOL, key.name, seen.uuid, site) in marked,
        facts={"site": site, "uuid": seen.uuid, **documents},
    )


def _volume(site: str, scope: str, pool: Seen, file: File, marked: frozenset[Mark]) -> Resource:
    key = Key(scope, VOLUME, f"{pool.name}/{PurePosixPath(file.path).name}")
    return Resource(
        key,
        persistent={"size": file.size, "format": file.format},
        needs=frozenset({Key(scope, POOL, pool.name)}),
        marked=Mark(VOLUME, key.name, pool.uuid, site) in marked,
        facts={"site": site, "parent": pool.uuid, "path": file.path},
    )


# --- what is wanted ----------------------------------------------------------------------------------------


def lower(site: Site, scope: str, seen: Observation) -> Desired:
    """The pool's storages on this host, and a volume per disk of the VMs placed here."""
    host = site.hosts[scope]
    storages = [s for (pool, _), s in site.storage.items() if pool == host.pool]
    wanted = {s.name: _wanted_pool(site, scope, s, seen) for s in storages if s.kind == "dir"}
    refusals = [_unknown_kind(scope, s) for s in storages if s.kind != "dir"]
    refusals += [r for p in wanted.values() for r in _moved(p, seen)]
    stuck = {r.where for r in refusals}
    pools = {n: seen.resources[p.key] if str(p.key) in stuck else p for n, p in wanted.items()}
    volumes: list[Resource] = []
    for vm in site.vms_on(scope):
        for place in places(site, scope, vm, seen):
            if place.storage.name not in pools or place.unseen:
                continue
            if place.key is None:
                refusals.append(_elsewhere(scope, vm, place))
                continue
            volume, refusal = _sized(_wanted_volume(site, pools[place.storage.name], vm, place, seen), seen)
            volumes.append(volume)
            refusals.extend(refusal)
    return Desired((*pools.values(), *volumes), refusals=tuple(refusals))


def _elsewhere(scope: str, vm: Vm, place: Place) -> Refusal:
    message = f"disk {place.disk.target} lies at {place.path}, not in storage {place.storage.name}"
    hint = f"a plan never moves disks: {place.storage.name} is {place.storage.path}; declare where it lies"
    return Refusal("disk-elsewhere", f"{scope}/vm/{vm.name}", message, hint)


def _unknown_kind(scope: str, storage: Storage) -> Refusal:
    hint = "KVM hosts know storage of kind dir"
    return Refusal(
        "storage-kind", f"{scope}/{POOL}/{storage.name}", f"kind {storage.kind} is not known", hint
    )


def _wanted_pool(site: Site, scope: str, storage: Storage, seen: Observation) -> Resource:
    key = Key(scope, POOL, storage.name)
    present = seen.resources.get(key)
    path = str(PurePosixPath(storage.path))
    return Resource(
        key,
        running={"active": True, "target": path},
        persistent={"type": "dir", "path": path, "autostart": True},
        facts={
            "site": site.name,
            "uuid": present.facts["uuid"] if present else marks.derived_uuid(site.name, *_words(key)),
        },
    )


def _moved(pool: Resource, seen: Observation) -> Iterator[Refusal]:
    present = seen.resources.get(pool.key)
    if present is not None and present.persistent and _place(present.persistent) != _place(pool.persistent):
        kind, path = _place(present.persistent)
        message = f"is a pool of type {kind} at {path}, and wanted at {pool.persistent['path']}"
        hint = "a plan never moves disks: declare it where it is, or under another name"
        yield Refusal("pool-moved", str(pool.key), message, hint)


def _words(key: Key) -> tuple[str, str, str]:
    return key.scope, key.kind, key.name


def _wanted_volume(site: Site, pool: Resource, vm: Vm, place: Place, seen: Observation) -> Resource:
    """A disk's volume. One that is there keeps its format: converting it would be another disk."""
    key = place.key or Key(pool.key.scope, VOLUME, place.path)
    present = seen.resources.get(key)
    first = vm.disks[0] == place.disk
    return Resource(
        key,
        persistent={
            "size": -(-place.disk.size // _SECTOR) * _SECTOR,
            "format": present.persistent["format"] if present else "qcow2",
        },
        needs=frozenset({pool.key}),
        facts={
            "site": site.name,
            "parent": pool.facts["uuid"],
            "path": place.path,
            "image": vm.boot.image if isinstance(vm.boot, ImageBoot) and first else "",
        },
    )


def _sized(wanted: Resource, seen: Observation) -> tuple[Resource, tuple[Refusal, ...]]:
    """A volume that would shrink, or grow under a running VM, keeps its size, and that is said."""
    present = seen.resources.get(wanted.key)
    have, want = _size(present), _size(wanted)
    if present is None or have == want:
        return wanted, ()
    user = _running_user(wanted, seen)
    if want > have and user is None:
        return wanted, ()
    kept = {**wanted.persistent, "size": have}
    refusal = _no_shrinking(wanted, have, want) if want < have else _in_use(wanted, user, have, want)
    return Resource(wanted.key, persistent=kept, needs=wanted.needs, facts=wanted.facts), (refusal,)


def _size(volume: Resource | None) -> int:
    size = volume.persistent.get("size") if volume is not None else None
    return size if isinstance(size, int) else 0


def _running_user(volume: Resource, seen: Observation) -> Key | None:
    return next(
        (
            k
            for k, r in seen.resources.items()
            if volume.key in r.needs and r.running.get("state") == "running"
        ),
        None,
    )


def _no_shrinking(volume: Resource, have: int, want: int) -> Refusal:
    message = f"holds {format_size(have)} and would shrink to {format_size(want)}"
    return Refusal("shrink", str(volume.key), message, "a plan never cuts off data: declare its present size")


def _in_use(volume: Resource, user: Key | None, have: int, want: int) -> Refusal:
    message = f"grows from {format_size(have)} to {format_size(want)} only while {user} is shut off"
    return Refusal("in-use", str(volume.key), message, "shut the VM off and plan again")


# --- changing ----------------------------------------------------------------------------------------------

# Arguments: uuid, directory to make or "", definition (define | undefine | keep), running (on | once | off |
# cycle), autostart (on | off | keep). Standard input: the document.
_SET_POOL = f"""{VIRSH}
here() {{ ask pool-list "$@" --uuid | grep -Fq -e "$pool"; }}
pool=$1
ask version >/dev/null
document=$(cat)
define() {{ printf '%s\\n' "$document" | ask "$1" --file=/dev/stdin; }}
[ -z "$2" ] || [ -d "$2" ] || mkdir -p -m 0711 -- "$2"
[ "$3" != define ] || define pool-define
case $4 in
on) here || ask pool-start --pool="$pool" ;;
once) here || define pool-create ;;
off) ! here || ask pool-destroy --pool="$pool" ;;
cycle) ! here || ask pool-destroy --pool="$pool"; ask pool-start --pool="$pool" ;;
esac
[ "$3" != undefine ] || ! here --persistent --all || ask pool-undefine --pool="$pool"
case $5 in
on) ask pool-autostart --pool="$pool" ;;
off) ask pool-autostart --disable --pool="$pool" ;;
esac
"""

# Arguments: path, size in bytes, image or "", file that keeps the state at birth. The part file lies beside
# the volume, so that the rename is one step; what a broken-off run left of it is thrown away.
_MAKE_VOLUME = """set -eu
umask 077
path=$1 size=$2 image=$3 birth=$4
if [ -e "$path" ]; then
  [ -e "$birth" ] && exit 0
  echo "$path is there already and was not made by this plan" >&2
  exit 1
fi
part=${path%/*}/.grappe-part-${birth##*/}
rm -f -- "$part"
if [ -n "$image" ]; then
  qemu-img convert -q -O qcow2 -- "$image" "$part"
  qemu-img resize -q -f qcow2 -- "$part" "$size"
else
  qemu-img create -q -f qcow2 -- "$part" "$size"
fi
sync -- "$part"
stat -c '%i %s %y' -- "$part" > "$birth"
ln -- "$part" "$path"
rm -f -- "$part"
"""

# Arguments: path, file that keeps the state at birth. Only what is as it was made goes.
_UNMAKE_VOLUME = """set -eu
path=$1 birth=$2
if [ -e "$path" ] && [ "$(stat -c '%i %s %y' -- "$path")" != "$(cat -- "$birth" 2>/dev/null)" ]; then
  echo "$path is kept: it was written to after it was made"
  exit 0
fi
rm -f -- "$path" "$birth" "${birth%.fresh}.json"
"""

# Arguments: path, size in bytes. QEMU's own lock refuses it while a guest runs.
_GROW_VOLUME = """set -eu
qemu-img resize -q -f qcow2 -- "$1" "$2"
"""

# Argument: the pool's uuid. So that libvirt's list of volumes is what the directory holds.
_REFRESH = f"""{VIRSH}
ask pool-refresh --pool="$1" >/dev/null 2>&1 || true
"""


def realise(changes: Sequence[Change]) -> Script:
    """Render changes of pools and volumes."""
    owned = [c.after for c in changes if c.after is not None and c.after.marked]
    foreign = [c.after for c in changes if c.after is not None and not c.after.marked]
    gone = [c.before for c in changes if c.after is None and c.before is not None and c.key.kind == POOL]
    pools = sorted({str(_either(c).facts["parent"]) for c in changes if c.key.kind == VOLUME})
    return script(
        marks.set_marks(map(_mark, owned)),
        [c for change in changes for c in _commands(change)],
        [command("sh", "-c", _REFRESH, "refresh", pool) for pool in pools],
        marks.erase_marks(map(_mark, foreign + gone)),
    )


def _mark(resource: Resource) -> Mark:
    parent = resource.facts["uuid" if resource.key.kind == POOL else "parent"]
    return Mark(resource.key.kind, resource.key.name, str(parent), str(resource.facts["site"]))


def _either(change: Change) -> Resource:
    resource = change.after or change.before
    assert resource is not None  # noqa: S101 - a change has one side at least
    return resource


def _commands(change: Change) -> Iterator[Command]:
    if change.key.kind == POOL:
        yield _set_pool(change)
    else:
        yield from _set_volume(change)


def _set_pool(change: Change) -> Command:
    before, after = change.before, change.after
    uuid = str(_either(change).facts["uuid"])
    words, document = ("", "undefine", "off", "keep"), ""
    if after is not None:
        words = (
            str(after.persistent.get("path") or ""),
            _definition(before, after),
            _running(before, after),
            _autostart(before, after),
        )
        document = _document(after)
    return command("sh", "-c", _SET_POOL, "pool", uuid, *words, stdin=document)


def _definition(before: Resource | None, after: Resource) -> str:
    if not after.persistent:
        return "undefine"
    same = before is not None and _place(before.persistent) == _place(after.persistent)
    return "keep" if same else "define"


def _place(facet: Attributes) -> tuple[Value, Value]:
    return facet.get("type"), facet.get("path")


def _running(before: Resource | None, after: Resource) -> str:
    if not after.running.get("active"):
        return "off"
    if not after.persistent:
        return "once"
    was = before.running if before is not None else {}
    moved = was.get("active") and was.get("target") != after.running.get("target")
    return "cycle" if moved else "on"


def _autostart(before: Resource | None, after: Resource) -> str:
    wanted = after.persistent.get("autostart")
    if wanted is None or (before is not None and before.persistent.get("autostart") == wanted):
        return "keep"
    return "on" if wanted else "off"


def _document(pool: Resource) -> str:
    text = pool.facts.get("saved") or pool.facts.get("live")
    if text is not None:
        return text_of(parse(str(text)))
    root = Element("pool", {"type": "dir"})
    SubElement(root, "name").text = pool.key.name
    SubElement(root, "uuid").text = str(pool.facts["uuid"])
    SubElement(SubElement(root, "target"), "path").text = str(pool.persistent["path"])
    return text_of(root)


def _set_volume(change: Change) -> Iterator[Command]:
    after, before = change.after, change.before
    resource = _either(change)
    path, birth = str(resource.facts["path"]), _mark(resource).file.removesuffix(".json") + ".fresh"
    if after is None:
        yield command("sh", "-c", _UNMAKE_VOLUME, "volume", path, birth)
    elif before is None:
        image = str(resource.facts.get("image") or "")
        yield command("sh", "-c", _MAKE_VOLUME, "volume", path, str(_size(after)), image, birth)
    elif _size(after) > _size(before):
        yield command("sh", "-c", _GROW_VOLUME, "volume", path, str(_size(after)))


def disruption(change: Change) -> Disruption:
    """Disks in a pool that stops can be used on; new ones cannot be made."""
    stops = change.key.kind == POOL and change.before is not None and not change.after
    return Disruption(Level.NONE, (f"{change.key} stops",) if stops else ())


def irreversible(change: Change) -> str:
    """Growing a volume: cutting it back could cut off what was written since."""
    grows = change.before is not None and change.after is not None and change.key.kind == VOLUME
    if grows and _size(change.after) > _size(change.before):
        return f"{change.key} cannot shrink again"
    return ""
