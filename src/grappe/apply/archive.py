"""Before the first touch: a device's configuration, saved on the device and here, with its by-hand restore.

It takes what is there and skips what is not; Open vSwitch's database and libvirt's definitions are asked
for in the form that their own tools read back.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from grappe.apply.device import HOME, shell
from grappe.model.script import Answer, Command

KEEP = 10
"""Archives that stay on a device, besides the first ever made."""

# PATHS: copied as they are. The database is copied by ovsdb-client, for its file may be written just now.
_SAVE = """\
umask 077
a=$1/archive d=$1/archive/$2
mkdir -p -- "$d" || exit 1
r() { printf '%s\\n' "$*" >>"$d/RESTORE"; }
r "# How this device was at $2. Copy back what you need, at its console:"
for p in /etc/network/interfaces /etc/network/interfaces.d /etc/openvswitch/conf.db \
/etc/libvirt/qemu /etc/libvirt/storage /etc/resolv.conf /etc/hosts; do
[ -e "$p" ] || continue
mkdir -p "$d/files${p%/*}" && cp -a -- "$p" "$d/files${p%/*}/" && r "cp -a '$d/files$p' '${p%/*}/'" || exit 1
done
if [ -S /run/openvswitch/db.sock ]; then
ovsdb-client backup unix:/run/openvswitch/db.sock >"$d/openvswitch.backup" 2>/dev/null &&
r "ovsdb-client restore unix:/run/openvswitch/db.sock <'$d/openvswitch.backup'"
fi
if [ -S /run/libvirt/libvirt-sock ]; then
for k in net pool; do
virsh -q -c qemu:///system "$k-list" --all --name 2>/dev/null | while read -r n; do
[ -n "$n" ] || continue
case $n in */*|.*) continue;; esac
virsh -q -c qemu:///system "$k-dumpxml" "$n" >"$d/$k-$n.xml" 2>/dev/null && \
r "virsh -c qemu:///system $k-define '$d/$k-$n.xml'"
done
done
fi
{ ip -d addr; ip route; ip -6 route; } >"$d/addresses" 2>/dev/null
[ -e "$a/first" ] || ln -s -- "$2" "$a/first"
first=$(readlink "$a/first")
ls -1 "$a" | grep -v '^first$' | sort -r | tail -n "+$(($3 + 1))" | while read -r old; do
[ "$old" = "$first" ] || rm -rf -- "$a/$old"
done
tar -C "$a" -cf - -- "$2"
"""


def save(run: str) -> Command:
    """Save the device's configuration below /var/lib/grappe/archive/RUN and print it as a tar archive."""
    return shell(_SAVE, HOME, run, str(KEEP))


def there(run: str) -> str:
    """Where an archive lies on its device; RESTORE in it holds the lines to type."""
    return f"{HOME}/archive/{run}"


def keep_here(directory: Path, device: str, run: str, answer: Answer) -> Path:
    """Write a device's archive into `directory`, mode 0600. ValueError when the device could not make it."""
    if not answer.ok:
        raise ValueError(answer.err.strip() or f"status {answer.status}")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / f"{run}-{re.sub(r'[^A-Za-z0-9._-]', '_', device)}.tar"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(answer.out.encode("utf-8", "surrogateescape"))
        file.flush()
        os.fsync(file.fileno())
    return path
