"""What is on a node's disk when it leaves the factory: Debian's own files, and the few that are its own.

From the user's machine come only the files that a fresh Debian has as well; its accounts, keys and network
settings stay out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from grappe.twin.blueprint import Node, interfaces_file
from grappe.twin.wiring import derived_mac

# Directories of a node that keep their content without power; everything else is new at every power-on.
KEPT = ("etc", "var", "root", "srv", "home", "opt")

_DEBIAN = """
alternatives bash.bashrc debian_version default dpkg environment ethertypes gai.conf host.conf init.d inputrc
iproute2 issue issue.net ld.so.cache ld.so.conf ld.so.conf.d libnl-3 libvirt/libvirt-admin.conf
libvirt/libvirt.conf libvirt/nwfilter localtime login.defs mke2fs.conf modprobe.d network/if-down.d
network/if-post-down.d network/if-pre-up.d network/if-up.d networks os-release pam.conf pam.d profile
protocols python3 python3.11 python3.12 python3.13 qemu-ifdown qemu-ifup rpc security services shells skel
ssh/moduli ssh/ssh_config ssl/openssl.cnf terminfo timezone xattr.conf
"""

_VAR = """
backups cache/libvirt/qemu/capabilities lib/dpkg lib/libvirt/boot lib/libvirt/dnsmasq lib/libvirt/images
lib/libvirt/network lib/libvirt/qemu lib/misc lib/openvswitch local log/libvirt/qemu log/openvswitch mail opt
spool tmp
"""

SYSCTL = """\
# Behind an Open vSwitch the kernel would answer ARP for its own addresses in every VLAN.
net.ipv4.conf.all.arp_ignore = 1
# A raw port that speaks by itself would be heard where it must not be.
net.ipv6.conf.all.disable_ipv6 = 1
net.ipv6.conf.default.disable_ipv6 = 1
"""

_SSHD = """\
Include /etc/ssh/sshd_config.d/*.conf
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PidFile /run/sshd.pid
PrintMotd no
AcceptEnv LANG LC_*
# One person with many connections at once is the usual case here.
MaxStartups 100
MaxSessions 100
Subsystem sftp /usr/lib/openssh/sftp-server
"""

# No cgroups, no virtlogd, no second user in a namespace; in a namespace there is nothing they could protect.
_QEMU = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
max_core = 0
"""

_LIBVIRTD = """\
unix_sock_group = "root"
auth_unix_ro = "none"
auth_unix_rw = "none"
listen_tls = 0
listen_tcp = 0
host_uuid = "{uuid}"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
"""

# As libvirt-daemon-config-network leaves it on Debian: defined, not active, not started at boot.
_DEFAULT_NETWORK = """\
<network>
  <name>default</name>
  <uuid>{uuid}</uuid>
  <forward mode='nat'/>
  <bridge name='virbr0' stp='on' delay='0'/>
  <mac address='{mac}'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='192.168.122.2' end='192.168.122.254'/>
    </dhcp>
  </ip>
</network>
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes one node of one lab distinct.

    `lab` is unique on this machine; `keys` has a host key NODE and NODE.pub for every node.
    """

    lab: str
    keys: Path
    authorized_key: str

    def uuid(self, *what: str) -> uuid.UUID:
        """Return a UUID that is always the same for the same lab and words."""
        return uuid.uuid5(uuid.NAMESPACE_URL, "/".join(("grappe-twin", self.lab, *what)))


def build(root: Path, capabilities: Path, *, single_id: bool) -> None:
    """Make the factory's pattern below `root`: etc, var and an empty Open vSwitch database.

    `capabilities` may hold libvirt's cached findings about QEMU; `single_id` says that only user id 0 exists.
    """
    (root / "etc").mkdir(parents=True)
    for name in _DEBIAN.split():
        _copy(Path("/etc") / name, root / "etc" / name)
    for name in _VAR.split():
        (root / "var" / name).mkdir(parents=True, exist_ok=True)
    (root / "var/tmp").chmod(0o1777)
    (root / "var/run").symlink_to("/run")
    (root / "var/lock").symlink_to("/run/lock")
    for name, text in _shared_files(single_id=single_id).items():
        _write(root / "etc" / name, text)
    (root / "etc/mtab").symlink_to("../proc/self/mounts")
    for cached in capabilities.glob("*.xml"):
        shutil.copyfile(cached, root / "var/cache/libvirt/qemu/capabilities" / cached.name)
    database = root / "etc/openvswitch/conf.db"
    schema = "/usr/share/openvswitch/vswitch.ovsschema"
    subprocess.run(["ovsdb-tool", "create", str(database), schema], check=True, capture_output=True)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir() and not source.is_symlink():
        shutil.copytree(
            source, target, symlinks=True, ignore_dangling_symlinks=True, copy_function=_copy_file
        )
    elif source.is_symlink() or source.is_file():
        _copy_file(source, target)


def _copy_file(source: str | Path, target: str | Path) -> None:
    # A file that only root may read is none that every Debian has alike.
    if Path(source).is_symlink() or os.access(source, os.R_OK):
        shutil.copy(source, target, follow_symlinks=False)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def _shared_files(*, single_id: bool) -> dict[str, str]:
    return {
        "passwd": _accounts(Path("/etc/passwd"), single_id=single_id),
        "group": _groups(Path("/etc/group"), single_id=single_id),
        "shadow": "root:*:19000:0:99999:7:::\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\n",
        "resolv.conf": "",
        "fstab": "# no disks of its own\n",
        "sysctl.d/10-twin.conf": SYSCTL,
        "ssh/sshd_config": _SSHD,
        "ssh/sshd_config.d/.keep": "",
        "network/interfaces.d/.keep": "",
        "openvswitch/.keep": "",
        "libvirt/qemu.conf": _QEMU,
        "libvirt/qemu/networks/autostart/.keep": "",
    }


def _accounts(source: Path, *, single_id: bool) -> str:
    """The system's accounts, with ids that exist: sshd must be able to become `sshd`."""
    found = [line.split(":") for line in source.read_text().splitlines()]
    system = {one[0]: one for one in found if len(one) == 7 and _is_system(one[2])}
    # Made by packages of which only the programs need be installed here.
    system.setdefault("sshd", ["sshd", "x", "104", "65534", "", "/run/sshd", "/usr/sbin/nologin"])
    system.setdefault(
        "libvirt-qemu",
        ["libvirt-qemu", "x", "64055", "64055", "Libvirt Qemu", "/var/lib/libvirt", "/usr/sbin/nologin"],
    )
    root = ["root", "x", "0", "0", "root", "/root", "/bin/bash"]
    accounts = [root, *(one for name, one in system.items() if name != "root")]
    if single_id:
        accounts = [[*one[:2], "0", "0", *one[4:]] for one in accounts]
    return "".join(":".join(one) + "\n" for one in accounts)


def _groups(source: Path, *, single_id: bool) -> str:
    found = [line.split(":") for line in source.read_text().splitlines()]
    system = {one[0]: one[2] for one in found if len(one) == 4 and _is_system(one[2])}
    system = {"root": "0", **system}
    system.setdefault("libvirt-qemu", "64055")
    system.setdefault("kvm", "104")
    if single_id:
        # Without a group "tty" sshd gives a terminal to the user's own group, which exists.
        system = {name: "0" for name in system if name != "tty"}
    return "".join(f"{name}:x:{number}:\n" for name, number in system.items())


def _is_system(number: str) -> bool:
    """Debian's policy, 9.2.2: ids below 1000, the static range from 60000, and nobody."""
    return number.isdigit() and (int(number) < 1000 or 60000 <= int(number) < 65535)


def install(pattern: Path, disk: Path, node: Node, identity: Identity) -> None:
    """Write a node's disk from the pattern: what a person has after the installation of Debian."""
    disk.mkdir(parents=True)
    subprocess.run(
        ["cp", "-R", "--preserve=mode,links", f"{pattern}/etc", f"{pattern}/var", str(disk)], check=True
    )
    for name in KEPT:
        (disk / name).mkdir(exist_ok=True)
    for path, (text, mode) in _own_files(node, identity).items():
        _write(disk / path, text, mode)
    (disk / "root").chmod(0o700)
    (disk / "root/.ssh").chmod(0o700)


def _own_files(node: Node, identity: Identity) -> Mapping[str, tuple[str, int]]:
    key, public = identity.keys / node.name, identity.keys / f"{node.name}.pub"
    short = node.name.split(".")[0]
    names = f"{node.name} {short}" if short != node.name else short
    hosts = f"127.0.0.1\tlocalhost\n127.0.1.1\t{names}\n\n::1\tlocalhost ip6-localhost ip6-loopback\n"
    files = {
        "etc/hostname": (f"{short}\n", 0o644),
        "etc/hosts": (hosts, 0o644),
        "etc/machine-id": (identity.uuid(node.name, "machine").hex + "\n", 0o444),
        "etc/network/interfaces": (interfaces_file(node), 0o644),
        "etc/ssh/ssh_host_ed25519_key": (key.read_text(), 0o600),
        "etc/ssh/ssh_host_ed25519_key.pub": (public.read_text(), 0o644),
        "etc/openvswitch/system-id.conf": (f"{identity.uuid(node.name, 'ovs')}\n", 0o644),
        "root/.ssh/authorized_keys": (identity.authorized_key + "\n", 0o600),
        "root/.profile": ('[ -f ~/.bashrc ] && [ -n "$BASH" ] && . ~/.bashrc\n', 0o644),
        "root/.bashrc": ("PS1='\\u@\\h:\\w\\$ '\n", 0o644),
    }
    if node.libvirt:
        files |= _libvirt_files(node, identity)
    return files


def _libvirt_files(node: Node, identity: Identity) -> dict[str, tuple[str, int]]:
    mac = "52:54:00" + derived_mac("virbr0", identity.lab, node.name)[8:]
    network = _DEFAULT_NETWORK.format(uuid=identity.uuid(node.name, "default"), mac=mac)
    return {
        "etc/libvirt/libvirtd.conf": (_LIBVIRTD.format(uuid=identity.uuid(node.name, "host")), 0o644),
        "etc/libvirt/qemu/networks/default.xml": (network, 0o600),
    }


def keep_capabilities(found: Path, cache: Path) -> None:
    """Keep what libvirt found out about QEMU for the next lab: it takes most of libvirtd's first start."""
    cache.mkdir(parents=True, exist_ok=True)
    for source in found.glob("*.xml"):
        target = cache / source.name
        text = source.read_bytes()
        if not target.exists() or target.read_bytes() != text:
            fresh = target.with_suffix(f".{os.getpid()}.{uuid.uuid4().hex[:8]}")
            fresh.write_bytes(text)
            fresh.replace(target)
