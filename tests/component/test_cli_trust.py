"""`grappe trust`: the first contact with a real sshd, over the user's own configuration."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from component.ssh_lab import Lab, keygen, lab
from grappe.transport.base import TransportError
from grappe.transport.host_keys import State, add, contact

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="sshd wants root to change to the user who logs in")

SITE = """\
site: first
networks:
  office: {fabric: office, subnet: 192.0.2.0/24, roles: [management]}
pools:
  p:
    platform: kvm
    attach: {eth0: {networks: [office], bridge: false}}
    hosts:
      h1: {access: {address: 127.0.0.1, port: PORT}, addresses: {office: .1}}
"""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as it:
        (tmp_path / "site.yaml").write_text(SITE.replace("PORT", str(it.port)))
        yield it


def trust(rig: Lab, answer: str = "", *words: str) -> tuple[int, str]:
    """Run `grappe trust h1` on a terminal where `answer` is typed; without an answer there is no terminal."""
    argv = [sys.executable, "-m", "grappe", "-f", str(rig.place / "site.yaml"), "--ssh-config"]
    argv += [str(rig.config), "trust", *(words or ("h1",))]
    mine, theirs = os.openpty()
    try:
        os.write(mine, answer.encode())
        stdin = theirs if answer else subprocess.DEVNULL
        pipe = subprocess.PIPE
        done = subprocess.run(
            argv, stdin=stdin, stdout=pipe, stderr=subprocess.STDOUT, text=True, check=False
        )
    finally:
        os.close(mine)
        os.close(theirs)
    return done.returncode, done.stdout


def fingerprint(key: Path) -> str:
    said = subprocess.run(["ssh-keygen", "-lf", str(key)], capture_output=True, text=True, check=True).stdout
    return said.split()[1]


def test_a_new_key_is_shown_asked_for_added_and_then_known(rig: Lab) -> None:
    status, said = trust(rig, "y\n")
    assert status == 0, said
    assert fingerprint(rig.host_key) in said
    assert f"known here as [127.0.0.1]:{rig.port}" in said
    public = " ".join(rig.host_key.with_suffix(".pub").read_text().split()[:2])
    assert rig.known_hosts.read_text() == f"[127.0.0.1]:{rig.port} {public}\n"
    assert rig.known_hosts.stat().st_mode & 0o777 == 0o600
    assert rig.transport().run(()) == ()
    assert trust(rig) == (0, "h1: its host key is known\n")


@pytest.mark.parametrize("answer", ["n\n", "\n", "\x04", ""])
def test_nothing_is_added_unasked_or_without_a_yes(rig: Lab, answer: str) -> None:
    status, said = trust(rig, answer)
    assert status in (1, 130), said
    assert "Traceback" not in said
    assert not rig.known_hosts.exists()


def test_a_changed_key_is_refused_whatever_is_answered(rig: Lab) -> None:
    rig.trust(keygen(rig.place / "other"))
    before = rig.known_hosts.read_text()
    status, said = trust(rig, "y\n")
    assert status == 1
    assert "ITS HOST KEY HAS CHANGED" in said
    assert rig.known_hosts.read_text() == before


def test_a_torn_last_line_is_not_glued_to_the_new_one_and_hashing_is_respected(rig: Lab) -> None:
    rig.config.write_text("HashKnownHosts yes\n" + rig.config.read_text())
    rig.known_hosts.write_text("other.example ssh-ed25519 AAAA")
    found = contact(rig.transport())
    assert found.state is State.NEW
    add(found)
    first, second = rig.known_hosts.read_text().splitlines()
    assert first == "other.example ssh-ed25519 AAAA"
    assert second.startswith("|1|")
    assert contact(rig.transport()).state is State.KNOWN


def test_a_machine_that_is_not_there_is_said_so(rig: Lab) -> None:
    gone = rig.transport()
    object.__setattr__(gone, "port", 1)
    with pytest.raises(TransportError, match="refuses the connection"):
        contact(gone)
