"""ifupdown: what the next boot will bring, one file of ours per interface, a foreign stanza adopted in place.

A foreign stanza is taken over by commenting its lines out where they stand, each with a prefix that names the
interface, so that giving it back restores the file byte by byte. Format: interfaces(5) of Debian's ifupdown;
the ovs_* options: README.Debian of openvswitch-switch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_interface

from grappe.graph.change import Change
from grappe.graph.resource import Key, Resource, Value
from grappe.model.script import Answer, Command, command
from grappe.model.text import one_line
from grappe.platforms.shared import ovs_values
from grappe.platforms.shared.network_spec import BridgeSpec, LinkSpec, PortSpec

STANZA = "stanza"
FOLDER = "/etc/network/interfaces.d"
HEADER = "# Managed by Grappe for site "
"""Start of a file of ours; the site's name follows."""

QUESTION = command(
    "sh",
    "-c",
    "for f in /etc/network/interfaces /etc/network/interfaces.d/*; do"
    ' [ -f "$f" ] && printf "\\001%s\\n" "$f" && cat "$f"; done; true',
    check=False,
)

_STARTS = ("iface", "mapping", "auto", "source", "source-directory", "no-auto-down", "no-scripts", "rename")

# Both programs edit one file in place, atomically, keeping its mode and whether its last line has an end; $1
# is the interface, $2 the file. The new file is hidden until it is whole: ifupdown reads whatever * matches.
# A line such as `auto eth0 eth1` is followed by one for the others meanwhile.
_EDIT = """
[ -f "$2" ] || exit 0
end=1; [ -z "$(tail -c 1 "$2")" ] || end=0
new=${2%/*}/.${2##*/}.grappe-new
cp -p "$2" "$new" && awk -v dev="$1" -v end="$end" '
BEGIN { mark = "#grappe:" dev "# " }
function put(line) { if (lines++) printf "\\n"; printf "%s", line }
function starts() { return $1 == "auto" || $1 ~ /^allow-/ }
END { if (lines && end) printf "\\n" }
"""
_OUT = (
    _EDIT
    + """
/^[ \\t]*(iface|mapping|auto|allow-[^ \\t]+|source|source-directory|no-auto-down|no-scripts|rename)[ \\t]/ {
  inside = ($1 == "iface" && $2 == dev) }
{ ours = 0; others = $1
  if (starts()) for (i = 2; i <= NF; i++) if ($i == dev) ours = 1; else others = others " " $i
  if (inside || ours) put(mark $0); else put($0)
  if (ours && others != $1) put(others) }
' "$2" > "$new" && mv "$new" "$2" || { rm -f -- "$new"; exit 1; }
"""
)
_BACK = (
    _EDIT
    + """
others != "" { awaited = others; others = ""; if ($0 == awaited) next }
index($0, mark) == 1 {
  $0 = substr($0, length(mark) + 1)
  put($0)
  if (starts()) { others = $1; for (i = 2; i <= NF; i++) if ($i != dev) others = others " " $i }
  if (others == $1) others = ""
  next }
{ put($0) }
' "$2" > "$new" && mv "$new" "$2" || { rm -f -- "$new"; exit 1; }
"""
)
_WRITE = """
new=${1%/*}/.${1##*/}.grappe-new
umask 022; cat > "$new" && chmod 0644 "$new" && mv "$new" "$1" || { rm -f -- "$new"; exit 1; }
"""


@dataclass(slots=True)
class Found:
    """Stanzas of one interface as the files have them."""

    file: str
    site: str | None = None
    """The site whose Grappe wrote the file; None: a person or an installer did."""
    lines: list[str] = field(default_factory=list)

    def option(self, name: str) -> str | None:
        """The first value of an option, or None."""
        return next(
            (w[1].strip() for line in self.lines if (w := line.split(None, 1))[0] == name and w[1:]), None
        )


# --- reading -----------------------------------------------------------------------------------------------


def parse(text: str) -> tuple[dict[str, Found], bool]:
    """Stanzas per interface in the answer to QUESTION, and whether the main file sources the folder.

    Lines are kept without indentation, comments and blank lines dropped.
    """
    found: dict[str, Found] = {}
    sourced = False
    for block in text.split("\x01")[1:]:
        file, _, content = block.partition("\n")
        site = _author(content)
        current: str | None = None
        for raw in content.splitlines():
            line = one_line(raw.strip())
            if not line or line.startswith("#"):
                continue
            word, *rest = line.split()
            sourced |= word in ("source", "source-directory") and FOLDER in line
            if word == "auto" or word.startswith("allow-"):
                current = None
                for device in rest:
                    _add(found, device, Found(file, site), f"{word} {device}")
            elif word in _STARTS:
                current = rest[0] if word == "iface" and rest else None
                if current:
                    _add(found, current, Found(file, site), line)
            elif current:
                _add(found, current, Found(file, site), line)
    return found, sourced


def _author(content: str) -> str | None:
    """The site whose Grappe wrote a file, or None."""
    first = content.partition("\n")[0]
    return first.removeprefix(HEADER).split(":")[0] if first.startswith(HEADER) else None


def _add(found: dict[str, Found], device: str, here: Found, line: str) -> None:
    entry = found.setdefault(device, here)
    if (
        entry.site is not None and here.site is None
    ):  # a person's stanza beside ours is the one to speak about
        found[device] = entry = here
    if entry.file == here.file:
        entry.lines.append(line)


def understand(scope: str, site: str, answer: Answer) -> tuple[list[Resource], dict[str, Value]]:
    """A resource per interface that has stanzas (loopback left out), and the fact `interfaces.d`."""
    found, sourced = parse(answer.out)
    resources = [
        Resource(
            Key(scope, STANZA, device),
            persistent={"file": entry.file, "lines": tuple(entry.lines)},
            marked=entry.site == site,
            facts={"site": entry.site} if entry.site is not None else {},
        )
        for device, entry in found.items()
        if device != "lo"
    ]
    return resources, {"interfaces.d": sourced}


def adequate(seen: Resource | None, spec: LinkSpec) -> bool:
    """Whether a foreign stanza already brings what is declared, so that there is nothing to take over."""
    if seen is None or seen.marked or spec.kind != "nic":
        return False
    lines = seen.persistent["lines"]
    entry = Found("", None, [str(line) for line in lines] if isinstance(lines, tuple) else [])
    if not any(line.split()[0] in ("auto", "allow-hotplug") for line in entry.lines):
        return False
    if int(entry.option("mtu") or 1500) != spec.mtu or entry.option("ovs_type"):
        return False
    if spec.addresses is None:
        return True
    return _stanza_addresses(entry) == set(spec.addresses) and _gateways(entry) == set(spec.gateways)


def _stanza_addresses(entry: Found) -> set[str]:
    address, netmask = entry.option("address"), entry.option("netmask")
    if address is None:
        return set()
    return {str(ip_interface(address if "/" in address or netmask is None else f"{address}/{netmask}"))}


def _gateways(entry: Found) -> set[str]:
    gateway = entry.option("gateway")
    return {gateway} if gateway else set()


# --- wanting -----------------------------------------------------------------------------------------------


def resource(scope: str, site: str, device: str, lines: Iterable[str], *, path: bool) -> Resource:
    """The resource of an interface's stanzas in a file of ours."""
    persistent: dict[str, Value] = {"file": f"{FOLDER}/grappe-{device}", "lines": tuple(lines)}
    return Resource(Key(scope, STANZA, device), persistent=persistent, path=path, facts={"site": site})


def bridge_lines(spec: BridgeSpec, link: LinkSpec, ports: Iterable[PortSpec]) -> Iterator[str]:
    """Stanzas of a bridge, its own port included."""
    extra = [f"set bridge {spec.name} other_config:hwaddr={spec.hwaddr}"]
    extra[0] += f" stp_enable={str(spec.stp).lower()} rstp_enable={str(spec.rstp).lower()}"
    extra[0] += f" datapath_type={spec.datapath}" if spec.datapath != "system" else ""
    extra.append(f"set port {spec.name} {_columns(spec.local.native, frozenset(spec.local.tagged))}")
    extra.append(f"set interface {spec.name} mtu_request={spec.mtu}")
    names = [p.name for p in ports if p.bridge == spec.name and not p.members]
    options = ["ovs_type OVSBridge", *([f"ovs_ports {' '.join(names)}"] if names else [])]
    options.append("ovs_extra " + " -- ".join(extra))
    yield f"auto {spec.name}"
    yield f"allow-ovs {spec.name}"
    yield from _interface(link, options)
    if spec.guests:
        yield _SWEEP.format(bridge=spec.name)


_SWEEP = (
    "up for p in $(ovs-vsctl list-ports {bridge}); do case $p in vnet*) [ -e /sys/class/net/$p ] ||"
    " ovs-vsctl --if-exists del-port {bridge} $p;; esac; done"
)
"""After a power loss Open vSwitch still lists the ports of guests that ran. libvirt 9.0 then plugs the next
guest with `--may-exist add-port`, which keeps the old port's tag: the guest wakes up in another's VLAN. So a
bridge forgets, before libvirt starts, guests' ports whose device is gone."""


def port_lines(spec: PortSpec, link: LinkSpec) -> Iterator[str]:
    """Stanzas of a bridge's port: an uplink or an internal one."""
    columns = _columns(spec.carriage.native, frozenset(spec.carriage.tagged))
    options = [f"ovs_type {'OVSIntPort' if spec.internal else 'OVSPort'}", f"ovs_bridge {spec.bridge}"]
    options.append(f"ovs_options {columns}")
    if spec.internal:
        options.append(f'ovs_extra set interface {spec.name} mtu_request={spec.mtu} mac=\\"{spec.mac}\\"')
    yield f"allow-{spec.bridge} {spec.name}"
    yield from _interface(link, options)


def plain_lines(link: LinkSpec) -> Iterator[str]:
    """Stanzas of a NIC that is in no bridge of its own name: an address holder, or a bond's member."""
    yield f"auto {link.device}"
    yield from _interface(link, [])


def _columns(native: Value, tagged: Value) -> str:
    return " ".join(f"{name}={value}" for name, value in ovs_values.columns(native, tagged) if value)


def _interface(link: LinkSpec, options: list[str]) -> Iterator[str]:
    """One `iface` stanza per address; everything but the address stands in the first."""
    addresses = list(link.addresses or ())
    yield f"iface {link.device} {_method(addresses[0] if addresses else None)}"
    yield from options
    if not link.ipv6 and link.addresses is not None:
        yield f"pre-up sysctl -q -w net/ipv6/conf/{link.device}/disable_ipv6=1 || true"
    yield f"mtu {link.mtu}"
    for number, address in enumerate(addresses):
        if number:
            yield f"iface {link.device} {_method(address)}"
        yield f"address {address}"
        version = ip_interface(address).version
        yield from (f"gateway {g}" for g in link.gateways if ip_interface(g).version == version)
        if not number and link.dns:
            yield f"dns-nameservers {' '.join(link.dns)}"
    if not addresses:
        yield f"up ip link set dev {link.device} up"


def _method(address: str | None) -> str:
    if address is None:
        return "inet manual"
    return "inet6 static" if ip_interface(address).version == 6 else "inet static"


# --- changing ----------------------------------------------------------------------------------------------


def commands(changes: Iterable[Change]) -> Iterator[Command]:
    """Write, remove, take over or give back. A file that a Grappe wrote is replaced whole."""
    for change in changes:
        device, before, after = change.key.name, change.before, change.after
        if before is not None and "site" not in before.facts:
            yield command("sh", "-c", _OUT, "sh", device, str(before.persistent["file"]))
        elif before is not None and (after is None or after.persistent["file"] != before.persistent["file"]):
            yield command("rm", "-f", "--", str(before.persistent["file"]))
        if after is not None and "site" not in after.facts:
            yield command("sh", "-c", _BACK, "sh", device, str(after.persistent["file"]))
        elif after is not None:
            yield _write(after)


def _write(stanza: Resource) -> Command:
    lines = stanza.persistent["lines"]
    body = [_indented(str(line)) for line in lines] if isinstance(lines, tuple) else []
    header = f"{HEADER}{stanza.facts['site']}: changes made here by hand are reported as drift."
    file = str(stanza.persistent["file"])
    return command("sh", "-c", _WRITE, "sh", file, stdin="\n".join([header, *body, ""]))


def _indented(line: str) -> str:
    word = line.split()[0]
    return line if word in _STARTS or word.startswith("allow-") else "    " + line
