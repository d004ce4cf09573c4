"""Observe and plan twin hosts over real SSH: Grappe next to `ansible-playbook --check` asking the same facts.

    python benchmarks/observe.py [--runs 5] [--hosts 10] [--networks 8]

Cold: no SSH connection is open. Warm: the shared connections (ControlMaster) of the same program are there.
All variants run in turn, round after round, so that the machine's load falls on all of them alike.
ansible-core comes from PyPI into a virtual environment of its own in the cache folder, made when missing.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rig import Rig, Samples, machine, rig

from grappe.twin.settings import cache_home

ANSIBLE = "ansible-core>=2.16,<2.20"

# What Grappe asks, as a playbook: the same programs, and as few tasks as they can be put into, for every task
# is a round trip to Ansible. The interpreter is given, so that none has to be discovered.
PLAYBOOK = r"""
- hosts: all
  gather_facts: false
  vars: {ansible_python_interpreter: /usr/bin/python3}
  tasks:
    - name: interfaces and routes, as facts
      ansible.builtin.setup: {gather_subset: ['!all', '!min', network]}
    - name: Open vSwitch
      ansible.builtin.command: ovs-vsctl --format=json -- list Bridge -- list Port -- list Interface
      check_mode: false
      changed_when: false
    - name: addresses
      ansible.builtin.command: ip -json -details address show
      check_mode: false
      changed_when: false
    - name: the files of the next boot
      ansible.builtin.shell: cat /etc/network/interfaces /etc/network/interfaces.d/*
      check_mode: false
      changed_when: false
    - name: libvirt
      ansible.builtin.shell: |
        virsh -q net-list --all
        for one in $(virsh -q net-list --all --name); do virsh -q net-dumpxml "$one"; done
        virsh -q pool-list --all
        for one in $(virsh -q pool-list --all --name); do virsh -q pool-dumpxml "$one"; done
        virsh -q list --all
        for one in $(virsh -q list --all --name); do virsh -q dumpxml "$one"; done
      check_mode: false
      changed_when: false
      when: inventory_hostname in groups['kvm']
"""


@dataclass(frozen=True)
class Playbook:
    """One way to call `ansible-playbook`; its connections are shared in a folder of its own."""

    program: Path
    folder: Path
    pipelining: bool

    def run(self, found: Rig) -> None:
        """Run the playbook. Raises RuntimeError with its output when a host failed."""
        files = ("-i", str(self._inventory(found)), str(self._playbook()))
        words = [str(self.program), "--check", "--forks", "10", *files]
        done = subprocess.run(
            words, env=self._environment(found), capture_output=True, text=True, check=False, timeout=600
        )
        if done.returncode:
            raise RuntimeError(f"ansible-playbook ended with {done.returncode}\n{done.stdout}{done.stderr}")

    def hang_up(self, found: Rig) -> None:
        """End its shared connections."""
        for socket in self.folder.joinpath("cp").glob("*"):
            words = [
                "ssh",
                "-F",
                str(found.lab.ssh_config),
                "-o",
                f"ControlPath={socket}",
                "-O",
                "exit",
                "any",
            ]
            subprocess.run(words, capture_output=True, check=False)

    def _inventory(self, found: Rig) -> Path:
        nodes = found.lab.blueprint.nodes
        hosts = "\n".join(n.name for n in nodes if n.libvirt)
        switches = "\n".join(n.name for n in nodes if not n.libvirt)
        path = self.folder / "inventory"
        path.write_text(f"[kvm]\n{hosts}\n[switches]\n{switches}\n")
        return path

    def _playbook(self) -> Path:
        path = self.folder / "facts.yml"
        path.write_text(PLAYBOOK)
        return path

    def _environment(self, found: Rig) -> dict[str, str]:
        shared = "-o ControlMaster=auto -o ControlPersist=60s"
        return {
            **os.environ,
            "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
            "ANSIBLE_HOME": str(self.folder),
            "ANSIBLE_PIPELINING": str(self.pipelining),
            "ANSIBLE_SSH_ARGS": f"-F {found.lab.ssh_config} {shared}",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp"),
            "ANSIBLE_RETRY_FILES_ENABLED": "False",
            "LC_ALL": "C.UTF-8",
        }


def ansible() -> Path:
    """The folder of programs with `ansible-playbook`; made once, by one of several who ask at once."""
    place = cache_home() / "benchmarks"
    place.mkdir(parents=True, exist_ok=True)
    home = place / "ansible"
    with (place / "ansible.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            print(f"{ANSIBLE} from PyPI into {home} (once)", flush=True)
            shutil.rmtree(home, ignore_errors=True)
            venv.create(home, with_pip=True)
            pip = [str(home / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, ANSIBLE], check=True, stderr=subprocess.DEVNULL)
            (home / "complete").touch()
    return home / "bin"


@contextmanager
def playbooks() -> Iterator[dict[str, Playbook]]:
    """Ansible with and without pipelining; names are short, for sockets lie in their folders."""
    program = ansible() / "ansible-playbook"
    with tempfile.TemporaryDirectory(prefix="ga-") as folder:
        ways = {"without pipelining": Playbook(program, Path(folder, "n"), False)}
        ways["with pipelining"] = Playbook(program, Path(folder, "p"), True)
        for way in ways.values():
            way.folder.mkdir()
            (way.folder / "ansible.cfg").touch()  # instead of the person's own
        yield ways


def observe_and_plan(found: Rig) -> None:
    """What `grappe plan` does, in this process."""
    cluster = found.cluster()
    survey = cluster.survey()
    if survey.unknown:
        raise RuntimeError(f"not seen: {json.dumps(dict(survey.unknown))}")
    plan = cluster.plan(survey)
    if plan.stages or plan.refusals:
        raise RuntimeError("the twin is not as it was applied")


def measure(found: Rig, ways: dict[str, Playbook], runs: int) -> Samples:
    """All variants in turn, `runs` times; each cold run opens the connections of the warm one after it."""
    samples = Samples()
    for number in range(runs):
        print(f"round {number + 1} of {runs}, {machine()}", flush=True)
        found.hang_up()
        for state in ("cold", "warm"):
            with samples.timing(f"Grappe, {state}"):
                observe_and_plan(found)
        for state in ("cold", "warm"):
            if state == "cold":
                found.hang_up()
            with samples.timing(f"`grappe plan`, a process of its own, {state}"):
                found.grappe("plan")
        for name, way in ways.items():
            way.hang_up(found)
            for state in ("cold", "warm"):
                with samples.timing(f"Ansible {name}, {state}"):
                    way.run(found)
            way.hang_up(found)
    return samples


def ratios(samples: Samples) -> Iterator[str]:
    """Ansible's medians by Grappe's, like against like."""
    for name in ("without pipelining", "with pipelining"):
        for state in ("cold", "warm"):
            theirs = samples.median(f"Ansible {name}, {state}")
            inside = theirs / samples.median(f"Grappe, {state}")
            process = theirs / samples.median(f"`grappe plan`, a process of its own, {state}")
            yield f"  {name}, {state}: {inside:.1f} times (with the start of Python: {process:.1f} times)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--hosts", type=int, default=10)
    parser.add_argument("--networks", type=int, default=8)
    wanted = parser.parse_args()
    with playbooks() as ways, rig(wanted.hosts, wanted.networks) as found:
        found.grappe("apply", "--yes")
        samples = measure(found, ways, wanted.runs)
        print(f"\nObserve and plan {wanted.hosts} hosts and a switch over SSH, {wanted.networks} networks")
        print(samples.text())
        print("\nAnsible asking the same facts takes longer by (aim: 20 times)")
        print("\n".join(ratios(samples)))
        print(f"\n{machine()}, Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
