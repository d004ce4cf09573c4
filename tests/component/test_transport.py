"""Local and prefixed transports, and the private directory for sockets."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from grappe.model.script import Answer, command
from grappe.transport.base import Transport, TransportError
from grappe.transport.local import Local
from grappe.transport.prefixed import Prefixed
from grappe.transport.runtime import RuntimeDirectoryError, private_directory, runtime_directory


def both() -> list[Transport]:
    return [Local("here"), Prefixed("there", ("env", "WHERE=there"))]


@pytest.mark.parametrize("transport", both(), ids=lambda t: t.device)
def test_five_megabytes_in_and_out(transport: Transport) -> None:
    big = "é\n" * 2_500_000
    assert transport.run((command("cat", stdin=big),)) == (Answer(0, big),)


def test_the_prefix_stands_before_every_command() -> None:
    transport = Prefixed("there", ("env", "WHERE=there"))
    assert transport.run((command("printenv", "WHERE"),)) == (Answer(0, "there\n"),)
    with transport.popen(("printenv", "WHERE")) as process:
        assert process.communicate(timeout=10)[0] == b"there\n"
    assert transport.argv(("x", "y"), tty=True) == ["env", "WHERE=there", "x", "y"]
    assert transport.fresh().run((command("true"),)) == (Answer(0, ""),)


def test_a_timeout_ends_the_commands_of_a_local_device(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(TransportError, match=r"here: no answer within 0\.3 s"):
        Local("here").run((command("sh", "-c", f"echo $$ >{pid}; exec sleep 30"),), timeout=0.3)
    end = time.monotonic() + 5
    while alive(int(pid.read_text())):
        assert time.monotonic() < end, "the command still runs"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_prefix_that_is_not_installed() -> None:
    with pytest.raises(TransportError, match="there: cannot start no-such-prefix: No such file"):
        Prefixed("there", ("no-such-prefix",)).run((command("true"),))


def test_a_prefix_that_fails_says_why() -> None:
    transport = Prefixed("there", ("nsenter", "--net=/no/such/namespace", "--"))
    with pytest.raises(TransportError, match=r"exit status 1: .*/no/such/namespace"):
        transport.run((command("true"),))


def test_the_directory_for_sockets_is_private_and_short() -> None:
    path = runtime_directory()
    assert path.stat().st_mode & 0o777 == 0o700
    assert len(str(path)) < 71


def test_a_directory_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    assert private_directory(tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(
        RuntimeDirectoryError, match=f"expected a directory of uid {os.getuid()} with mode 0700"
    ):
        private_directory(tmp_path / "open")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(RuntimeDirectoryError):
        private_directory(tmp_path / "link")
