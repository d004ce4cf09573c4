"""One question about everything that libvirt has, and its answer as plain values.

`virsh` costs about 15 ms per start, so two of them ask for everything: one for the uuids, one for all
documents (virsh takes several commands in one argument, and goes on after one that fails). Only uuids are
put into that argument. Every part of the answer begins with a random word made by the host for this answer
alone, so that nothing inside a document can be taken for a part of the frame.

Volumes are read from the directories themselves (their first 32 bytes and their size), not from libvirt's
list, which is as old as the last refresh.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from grappe.model.script import Answer, command
from grappe.platforms.kvm import libvirt_marks as marks
from grappe.platforms.kvm import testguest
from grappe.platforms.kvm.libvirt_xml import parse

_ASK = """
LC_ALL=C
export LC_ALL
word=$(cat /proc/sys/kernel/random/uuid)
part() { printf '%s %s|' "$word" "$1"; }
ask() { timeout 40 virsh -q -c qemu:///system "$@"; }
echo "$word"
part marks
[ -d "$1" ] && find "$1" -name '*.json' -exec cat {} +
command -v virsh >/dev/null 2>&1 || { part absent; exit 0; }
command -v libvirtd >/dev/null 2>&1 || command -v virtqemud >/dev/null 2>&1 || { part absent; exit 0; }
uuids=$(ask 'version; echo " networks "; net-list --all --uuid; echo " pools "; pool-list --all --uuid;
echo " running "; list --uuid; echo " resting "; list --inactive --uuid; echo " all"' 2>&1)
case $uuids in
*' networks '*) ;;
*) part down; printf '%s' "$uuids"; exit 0 ;;
esac
part uuids
uuids=${uuids#* networks }
echo "$uuids"
accel=$(cat /var/lib/grappe/accel 2>/dev/null)
case $accel in
kvm|tcg) ;;
*) accel=tcg
   [ -c /dev/kvm ] && ask domcapabilities --virttype=kvm >/dev/null 2>&1 && accel=kvm ;;
esac
part accel
echo "$accel"
part guest
[ -r "$2" ] && [ -r "$3" ] && echo there
lines=
flush() { [ -z "$lines" ] || ask "$lines"; lines=; }
one() { lines="$lines echo '$word $1 $2|'; $3 $2;"; [ ${#lines} -lt 60000 ] || flush; }
documents() {
  kind=networks
  for uuid in $uuids; do
    case $uuid in
    pools|running|resting) kind=$uuid; continue ;;
    ????????-????-????-????-????????????) ;;
    *) continue ;;
    esac
    case $kind-$uuid in
    running-*|resting-*) one info "$uuid" dominfo; one saved "$uuid" 'dumpxml --inactive' ;;
    pools-*) one info "$uuid" pool-info; one live "$uuid" pool-dumpxml ;;
    *) one info "$uuid" net-info; one live "$uuid" net-dumpxml; one saved "$uuid" 'net-dumpxml --inactive' ;;
    esac
    [ "$kind" != running ] || one live "$uuid" dumpxml
    [ "$kind" != pools ] || one saved "$uuid" 'pool-dumpxml --inactive'
  done
  flush
}
all=$(documents)
printf '%s\\n' "$all"
printf '%s\\n' "$all" | sed -n '/|<pool type=.dir.>/,/^<\\/pool>/s:^ *<path>\\(.*\\)</path>$:\\1:p' |
sort -u | sed "s/&lt;/</g; s/&gt;/>/g; s/&quot;/\\"/g; s/&apos;/'/g; s/&amp;/\\&/g" |
while IFS= read -r directory; do
  for file in "$directory"/*; do
    [ -f "$file" ] && [ -r "$file" ] || continue
    part volume
    stat -L -c %s "$file"
    od -A n -v -t x1 -N 32 "$file" | tr -d ' \\n'
    printf '\\n%s\\n' "$file"
  done
done
part end
"""

_UUID_LENGTH = 36

QUESTION = command(
    "sh", "-c", _ASK, "survey", marks.DIRECTORY, testguest.KERNEL, testguest.INITRD, check=False
)


@dataclass(frozen=True, slots=True)
class Seen:
    """A network, pool or domain: what `…-info` says of it, and its two documents.

    `live` is None for what is not active, `saved` for what is transient (undefined while active).
    """

    uuid: str
    info: dict[str, str]
    live: Element | None
    saved: Element | None

    @property
    def name(self) -> str:
        """Its name."""
        document = self.saved if self.saved is not None else self.live
        return "" if document is None else document.findtext("name", "")

    @property
    def autostart(self) -> bool:
        """Whether libvirt starts it at boot."""
        return self.info.get("Autostart") in ("yes", "enable")


@dataclass(frozen=True, slots=True)
class File:
    """A file in a directory pool: its path, format, and size in bytes as a guest sees it."""

    path: str
    format: str
    size: int


@dataclass(frozen=True, slots=True)
class Survey:
    """All that a host's libvirt has. With a `state` other than "up" nothing is known, not even emptiness."""

    state: str
    error: str = ""
    accel: str = "tcg"
    guest: bool = False
    """Whether the test guest's kernel and initramfs lie on the host."""
    networks: tuple[Seen, ...] = ()
    pools: tuple[Seen, ...] = ()
    domains: tuple[Seen, ...] = ()
    files: tuple[File, ...] = ()
    marks: frozenset[marks.Mark] = field(default_factory=frozenset)


def read(answer: Answer) -> Survey:
    """Read the answer to QUESTION."""
    parts = list(_parts(answer.out))
    names = {name for name, _, _ in parts}
    if "absent" in names:
        return Survey("absent", "libvirt is not installed")
    said = next((text for name, _, text in parts if name == "down"), None)
    if said is not None or "end" not in names:
        error = " ".join((said or answer.err).split())
        return Survey("down", error or "its answer broke off")
    try:
        return _survey(parts)
    except (ValueError, KeyError) as error:
        return Survey("down", f"{' '.join(answer.err.split())} {error}".strip())


def _parts(out: str) -> Iterator[tuple[str, str, str]]:
    """(name, uuid, text) of every part."""
    word, _, rest = out.partition("\n")
    for part in rest.split(word + " ")[1:] if word else ():
        header, _, text = part.partition("|")
        name, _, uuid = header.partition(" ")
        yield name, uuid, text


def _survey(parts: list[tuple[str, str, str]]) -> Survey:
    said = {(name, uuid): text for name, uuid, text in parts}
    _require_all(said)
    found: dict[str, list[Seen]] = {"network": [], "pool": [], "domain": []}
    for name, uuid, _ in parts:
        if name == "info":
            seen, what = _seen(uuid, said)
            found[what].append(seen)
    return Survey(
        state="up",
        accel=said["accel", ""].strip(),
        guest=bool(said["guest", ""].strip()),
        networks=tuple(found["network"]),
        pools=tuple(found["pool"]),
        domains=tuple(found["domain"]),
        files=tuple(_file(text) for name, _, text in parts if name == "volume"),
        marks=marks.read(said["marks", ""]),
    )


def _require_all(said: dict[tuple[str, str], str]) -> None:
    """Every listed object must have been described: half an answer is no answer."""
    words = said["uuids", ""].split()
    if words[-1:] != ["all"] or "error:" in words:
        raise ValueError("could not list: " + " ".join(words))
    for word in words:
        if len(word) == _UUID_LENGTH and not said.get(("info", word), "").strip():
            raise ValueError(f"{word} was listed and then not described: try again")


def _seen(uuid: str, said: dict[tuple[str, str], str]) -> tuple[Seen, str]:
    info = _info(said["info", uuid].splitlines())
    active = info.get("Active") == "yes" or info.get("Id", "-") != "-" or _pool_runs(info)
    live = parse(said["live", uuid]) if active else None
    saved = parse(said["saved", uuid]) if info.get("Persistent") == "yes" else None
    document = saved if saved is not None else live
    if document is None:
        raise ValueError(f"{uuid} vanished while it was asked for")
    for each in (live, saved):
        if each is not None:
            each.attrib.pop("connections", None)  # how many guests use a network now: not configuration
    return Seen(uuid, info, live, saved), document.tag


def _pool_runs(info: dict[str, str]) -> bool:
    return "Id" not in info and info.get("State", "inactive") != "inactive"


def _info(lines: Iterable[str]) -> dict[str, str]:
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def _file(text: str) -> File:
    """A file from its size, the hex of its first 32 bytes, and its path (which may hold line breaks)."""
    size, header, path = text.removesuffix("\n").split("\n", 2)
    if header.startswith("514649fb"):  # qcow2: magic, version, backing file, cluster bits, then the size
        return File(path, "qcow2", int(header[48:64], 16))
    return File(path, "raw", int(size))
