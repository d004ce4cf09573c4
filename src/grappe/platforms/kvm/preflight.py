"""What a Debian host lacks before Grappe can drive it, and how to install it. Asked in one command.

The answer is lines of a word and its values; the script makes no change and needs nothing but a POSIX shell.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from grappe.model.finding import Finding
from grappe.model.script import Answer, Script, command
from grappe.model.site import Datapath, Host, Nic, Site
from grappe.platforms.kvm import preflight_codes as codes

CLOCK_LIMIT = 5.0
"""Seconds that two clocks may differ."""

_ASK = r"""
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin LC_ALL=C
export PATH LC_ALL
have() { command -v "$1" >/dev/null 2>&1; }
echo "now $(date +%s)"
echo "uid $(id -u)"
(. /etc/os-release; echo "os $ID $VERSION_ID") 2>/dev/null
for program in ovs-vsctl ovs-vswitchd ifup virsh libvirtd virtqemud qemu-system-x86_64 qemu-img python3 ip; do
  have $program && echo "program $program"
done
have ovs-vsctl && echo "version openvswitch $(ovs-vsctl --version | head -n 1)"
have virsh && echo "version libvirt $(virsh --version)"
have qemu-system-x86_64 && echo "version qemu $(qemu-system-x86_64 --version | head -n 1)"
have python3 && echo "version python3 $(python3 --version)"
have ip && echo "version iproute2 $(ip -V)"
have ovs-vsctl && ovs-vsctl --timeout=5 get-manager >/dev/null 2>&1 && echo "answers openvswitch"
have virsh && timeout 20 virsh -q -c qemu:///system version >/dev/null 2>&1 && echo "answers libvirt"
[ -d /sys/module/openvswitch ] || modprobe -n -q openvswitch 2>/dev/null && echo "datapath kernel"
[ -c /dev/net/tun ] && echo "datapath userspace"
[ -r /dev/kvm ] && [ -w /dev/kvm ] && echo "kvm device"
grep -q -E '^flags.*\b(vmx|svm)\b' /proc/cpuinfo && echo "kvm processor"
ls -l /proc/[0-9]*/exe 2>/dev/null |
  sed -n -E 's:.*/(chronyd|ntpd|openntpd|systemd-timesyncd)( \(deleted\))?$:time \1:p'
grep -q -E '^[[:space:]]*source(-directory)?[[:space:]]+/etc/network/interfaces\.d' /etc/network/interfaces \
  2>/dev/null && echo "interfaces sourced"
for device in /sys/class/net/*/device; do
  [ -e "$device" ] || continue
  name=${device%/device}
  echo "nic ${name##*/} $(cat "$name/address") $(basename "$(readlink -f "$device")")"
done
have nmcli && nmcli -t -f DEVICE,STATE device 2>/dev/null |
  sed -n 's/^\(.*\):\(connect.*\)$/rival \1 NetworkManager/p'
have networkctl && networkctl list --no-legend --no-pager 2>/dev/null |
  awk '$5 == "configured" || $5 == "configuring" { print "rival", $2, "systemd-networkd" }'
for file in /etc/netplan/*.yaml; do
  [ -r "$file" ] && sed -n 's/^  *"*\([A-Za-z0-9_.-]*\)"*:.*/rival \1 netplan/p' "$file"
done
echo end
"""

_PROGRAMS = {
    "ovs-vsctl": "openvswitch-switch",
    "ovs-vswitchd": "openvswitch-switch",
    "ifup": "ifupdown",
    "virsh": "libvirt-clients",
    "libvirtd": "libvirt-daemon-system",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "python3": "python3",
    "ip": "iproute2",
}

# Debian 11's versions, except where a feature asks for more.
_OLDEST = {
    "openvswitch": (2, 15),
    "libvirt": (7, 0),
    "qemu": (5, 2),
    "python3": (3, 6),
}


@dataclass(frozen=True, slots=True)
class Situation:
    """What a host said of itself: the lines of the answer by their first word."""

    host: Host
    lines: Mapping[str, Sequence[tuple[str, ...]]]
    operator_time: float

    def firsts(self, word: str) -> frozenset[str]:
        """First values of all lines of a word."""
        return frozenset(values[0] for values in self.lines.get(word, ()) if values)


class PreflightError(ValueError):
    """A host did not say what was asked."""


def questions() -> Script:
    """One command that changes nothing and fails on no host."""
    return (command("sh", "-c", _ASK, "preflight", check=False),)


def findings(site: Site, scope: str, answers: Sequence[Answer], operator_time: float) -> tuple[Finding, ...]:
    """What a host lacks. `operator_time` is the operator's clock when the host was asked, seconds since 1970.

    Raises PreflightError when the answer is not one.
    """
    said = answers[0] if answers else Answer(1, "")
    lines: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for line in said.out.splitlines():
        word, *values = line.split() or [""]
        lines[word].append(tuple(values))
    if "end" not in lines:
        raise PreflightError(f"{scope} broke off its answer: {said.err.strip() or said.out[-200:]!r}")
    situation = Situation(site.hosts[scope], lines, operator_time)
    return tuple(finding for check in _CHECKS for finding in check(situation))


def packages(found: Iterable[Finding]) -> tuple[str, ...]:
    """Debian packages that would mend findings, sorted."""
    return tuple(sorted({p for f in found for p in str(f.data.get("packages", "")).split()}))


def install(names: Sequence[str]) -> Script:
    """Install packages; nothing asks, and changed configuration files are kept. It may take minutes."""
    if not names:
        return ()
    quiet = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y")
    keep = ("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")
    return (
        command(*quiet, "update"),
        command(*quiet, *keep, "--no-install-recommends", "install", "--", *names),
    )


# --- one check each ----------------------------------------------------------------------------------------


def _place(situation: Situation) -> tuple[str, ...]:
    return ("hosts", situation.host.name)


def _root(situation: Situation) -> Iterator[Finding]:
    if "0" not in situation.firsts("uid"):
        user = ", ".join(situation.firsts("uid")) or "unknown"
        yield codes.NOT_ROOT.at(_place(situation), f"Grappe comes in with user id {user}, expected 0 (root)")


def _packages(situation: Situation) -> Iterator[Finding]:
    there = situation.firsts("program")
    there |= {"libvirtd"} if "virtqemud" in there else set()
    absent = {program: package for program, package in _PROGRAMS.items() if program not in there}
    if absent:
        names = " ".join(sorted(set(absent.values())))
        yield codes.PACKAGES.at(
            _place(situation),
            f"not there: {', '.join(absent)}",
            hint=f"grappe preflight {situation.host.name} --install, or: apt-get install {names}",
            data={"packages": names},
        )


def _versions(situation: Situation) -> Iterator[Finding]:
    for program, *words in situation.lines.get("version", ()):
        found = re.search(r"\d+(\.\d+)+", " ".join(words))
        oldest = _OLDEST.get(program)
        if found and oldest and tuple(int(n) for n in found[0].split(".")) < oldest:
            wanted = ".".join(map(str, oldest))
            message = f"{program} is {found[0]}, expected {wanted} or newer"
            yield codes.VERSION.at(_place(situation), message)


def _release(situation: Situation) -> Iterator[Finding]:
    system = next(iter(situation.lines.get("os", ())), ("unknown",))
    version = system[1] if len(system) > 1 else ""
    if system[0] != "debian" or (version.isdecimal() and int(version) < 12):
        yield codes.RELEASE.at(_place(situation), f"runs {' '.join(system)}, expected debian 12 or newer")


def _services(situation: Situation) -> Iterator[Finding]:
    for service, program in (("openvswitch", "ovs-vsctl"), ("libvirt", "virsh")):
        if program in situation.firsts("program") and service not in situation.firsts("answers"):
            yield codes.SERVICE.at(_place(situation), f"{service} is installed and does not answer")


def _datapath(situation: Situation) -> Iterator[Finding]:
    wanted = situation.host.datapath
    if wanted.value not in situation.firsts("datapath"):
        lack = "the kernel module openvswitch" if wanted is Datapath.KERNEL else "/dev/net/tun"
        yield codes.DATAPATH.at(_place(situation), f"datapath {wanted} is declared, and {lack} is missing")


def _kvm(situation: Situation) -> Iterator[Finding]:
    if "device" not in situation.firsts("kvm"):
        why = "" if "processor" in situation.firsts("kvm") else ", nor does the processor show VT-x or AMD-V"
        yield codes.NO_KVM.at(_place(situation), f"/dev/kvm cannot be opened{why}")


def _clock(situation: Situation) -> Iterator[Finding]:
    now = next(iter(situation.firsts("now")), "")
    skew = float(now) - situation.operator_time if now.isdecimal() else 0.0
    if abs(skew) > CLOCK_LIMIT:
        side = "ahead of" if skew > 0 else "behind"
        message = f"its clock is {abs(skew):.0f} s {side} this machine's"
        yield codes.CLOCK.at(_place(situation), message, data={"seconds": round(skew)})
    if not situation.firsts("time"):
        yield codes.NO_TIME_SERVICE.at(
            _place(situation),
            "no time service runs",
            hint="chrony is a good one",
            data={"packages": "chrony"},
        )


def _interfaces(situation: Situation) -> Iterator[Finding]:
    if "sourced" not in situation.firsts("interfaces"):
        yield codes.NO_SOURCE.at(
            _place(situation), "/etc/network/interfaces does not read /etc/network/interfaces.d"
        )


_RELEASE_HINTS = {
    "NetworkManager": "nmcli device set {nic} managed no, and an unmanaged-devices line in its configuration",
    "systemd-networkd": "remove {nic} from /etc/systemd/network, then networkctl reload",
    "netplan": "remove {nic} from /etc/netplan; do not run netplan apply over that very NIC",
}


def _rivals(situation: Situation) -> Iterator[Finding]:
    rivals: dict[str, set[str]] = defaultdict(set)
    for device, program in (v for v in situation.lines.get("rival", ()) if len(v) == 2):
        rivals[device].add(program)
    for nic in situation.host.nics.values():
        device = _device(situation, nic)
        for program in sorted(rivals.get(device, ())):
            yield codes.RIVAL.at(
                (*_place(situation), "nics", nic.name),
                f"{program} configures {device}",
                hint=_RELEASE_HINTS[program].format(nic=device),
            )


def _device(situation: Situation, nic: Nic) -> str:
    """The kernel's name of a NIC; its declared name when it is not found."""
    for name, *rest in situation.lines.get("nic", ()):
        if (nic.mac or nic.pci or "") in (r.lower() for r in rest):
            return name
    return nic.name


_CHECKS: tuple[Callable[[Situation], Iterator[Finding]], ...] = (
    _root,
    _packages,
    _versions,
    _release,
    _services,
    _datapath,
    _kvm,
    _clock,
    _interfaces,
    _rivals,
)
