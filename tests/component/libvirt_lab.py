"""A host of its own for tests: real libvirtd and Open vSwitch in private namespaces, gone with its process.

Everything the daemons write lies on memory file systems that only this host sees.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from grappe.model.script import Answer, Script

PROGRAMS = ("libvirtd", "virsh", "ovs-vswitchd", "qemu-system-x86_64", "qemu-img", "unshare", "nsenter")

_BOOT = r"""
set -e
mount --make-rprivate /
for d in /run /var/lib /var/log /var/cache /mnt; do mount -t tmpfs -o mode=755 grappe-test $d; done
mkdir /mnt/etc; mount -t tmpfs -o mode=755 grappe-test /mnt/etc
cp -a /etc/. /mnt/etc/; rm -rf /mnt/etc/libvirt /mnt/etc/openvswitch
mount --move /mnt/etc /etc; rmdir /mnt/etc
mkdir -p /run/lock /run/openvswitch /var/lib/libvirt/images /var/lib/grappe /var/log/libvirt/qemu \
  /var/log/openvswitch /etc/libvirt/qemu/networks /etc/network
echo 'source /etc/network/interfaces.d/*' > /etc/network/interfaces
ip link set lo up
grep -q ^libvirt-qemu: /etc/passwd || echo 'libvirt-qemu:x:64055:64055::/:/usr/sbin/nologin' >> /etc/passwd
grep -q ^libvirt-qemu: /etc/group || echo 'libvirt-qemu:x:64055:' >> /etc/group
grep -q ^kvm: /etc/group || echo 'kvm:x:64056:' >> /etc/group
db=/run/openvswitch/conf.db
ovsdb-tool create $db /usr/share/openvswitch/vswitch.ovsschema
ovsdb-server $db --remote=punix:/run/openvswitch/db.sock --detach --no-chdir --pidfile \
  --log-file=/run/openvswitch/ovsdb.log -vconsole:off
ovs-vsctl --no-wait init -- set Open_vSwitch . other_config:userspace-tso-enable=true
ovs-vswitchd unix:/run/openvswitch/db.sock --detach --no-chdir --pidfile \
  --log-file=/run/openvswitch/vswitchd.log -vconsole:off
for bridge in br0 brint; do
  ovs-vsctl add-br $bridge -- set bridge $bridge datapath_type=netdev
done
cat > /etc/libvirt/libvirtd.conf <<X
auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_group = "root"
host_uuid = "$(cat /proc/sys/kernel/random/uuid)"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
X
cat > /etc/libvirt/qemu.conf <<X
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
max_core = 0
X
echo tcg > /var/lib/grappe/accel
"""

_INIT = """
import os, subprocess, sys, time
subprocess.run(["sh", "-c", sys.argv[1]], check=True)
print("ready", flush=True)
while True:
    try:
        os.wait()
    except ChildProcessError:
        time.sleep(0.1)
"""


class Lab:
    """One host. `run` takes scripts as a transport does, without a shell in between."""

    def __init__(self, pid: int) -> None:
        self._enter = ("nsenter", "-t", str(pid), "-n", "-m", "-p", "-u", "-i", "--wd=/", "--")

    def run(self, script: Script) -> tuple[Answer, ...]:
        """Answers in order, ending after the first failed checked command."""
        answers: list[Answer] = []
        for command in script:
            done = self.call(*command.argv, stdin=command.stdin)
            answers.append(done)
            if command.check and not done.ok:
                break
        return tuple(answers)

    def must(self, script: Script) -> None:
        """Run a script of which every command must succeed."""
        answers = self.run(script)
        assert len(answers) == len(script), answers[-1]
        assert not answers or answers[-1].ok, answers[-1]

    def call(self, *argv: str, stdin: str = "") -> Answer:
        """One program on the host."""
        done = subprocess.run([*self._enter, *argv], input=stdin, capture_output=True, text=True, timeout=120)
        return Answer(done.returncode, done.stdout, done.stderr)

    def put(self, path: str, content: bytes) -> None:
        """Write a file on the host."""
        words = ("sh", "-ec", 'mkdir -p "${1%/*}"; cat > "$1"', "put", path)
        subprocess.run([*self._enter, *words], input=content, check=True, timeout=60)

    def sh(self, text: str, *words: str) -> str:
        """A shell text that must succeed; its output."""
        done = self.call("sh", "-ec", text, "test", *words)
        assert done.ok, done
        return done.out

    def virsh(self, *words: str, stdin: str = "") -> str:
        """A virsh call that must succeed; its output."""
        done = self.call("virsh", "-q", *words, stdin=stdin)
        assert done.ok, done
        return done.out

    def start_libvirt(self) -> None:
        """Start libvirtd and wait until it answers."""
        self.sh("mkdir -p /run/libvirt; rm -f /run/libvirtd.pid; libvirtd -d -p /run/libvirtd.pid")
        deadline = time.monotonic() + 60
        while not (answer := self.call("virsh", "-q", "version")).ok:
            assert time.monotonic() < deadline, f"libvirtd does not answer: {answer.err}"
            time.sleep(0.05)

    def stop_libvirt(self) -> None:
        """Stop libvirtd and wait until it is gone."""
        self.sh("p=$(cat /run/libvirtd.pid); kill $p; while [ -d /proc/$p ]; do sleep 0.05; done")

    def clear(self) -> None:
        """Remove every VM, network and pool, and all marks and files."""
        self.sh(
            "for d in $(virsh -q list --uuid); do virsh -q destroy $d; done;"
            "for d in $(virsh -q list --all --uuid); do virsh -q undefine $d; done;"
            "for n in $(virsh -q net-list --uuid); do virsh -q net-destroy $n; done;"
            "for n in $(virsh -q net-list --all --uuid); do virsh -q net-undefine $n; done;"
            "for p in $(virsh -q pool-list --uuid); do virsh -q pool-destroy $p; done;"
            "for p in $(virsh -q pool-list --all --uuid); do virsh -q pool-undefine $p; done;"
            "rm -rf /var/lib/grappe/marks /var/lib/libvirt/images; mkdir -p /var/lib/libvirt/images;"
            "find /mnt -mindepth 1 -maxdepth 1 -type d -exec rm -rf {} +"
        )


def missing() -> list[str]:
    """What the tests here need and this machine lacks."""
    lacking = [program for program in PROGRAMS if shutil.which(program, path=_path()) is None]
    return lacking + ([] if os.geteuid() == 0 else ["root"])


def _path() -> str:
    return os.environ["PATH"] + ":/usr/sbin:/sbin"


@contextmanager
def lab() -> Iterator[Lab]:
    """A host with libvirtd running."""
    flags = ("--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child=SIGKILL", "--mount-proc")
    argv: Sequence[str] = ("unshare", *flags, sys.executable, "-c", _INIT, _BOOT)
    outer = subprocess.Popen(
        argv, stdout=subprocess.PIPE, text=True, env={**os.environ, "PATH": _path(), "LC_ALL": "C"}
    )
    try:
        assert outer.stdout is not None
        assert outer.stdout.readline().strip() == "ready"
        inner = int(Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()[0])
        host = Lab(inner)
        host.start_libvirt()
        yield host
    finally:
        outer.kill()
        outer.communicate()
