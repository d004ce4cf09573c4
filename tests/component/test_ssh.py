"""OpenSSH as a transport, against a real sshd: what works, and what is said when it does not."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from component.ssh_lab import Lab, Relay, free_port, keygen, lab
from grappe.model.script import Answer, command
from grappe.transport.base import TransportError
from grappe.transport.ssh import OpenSsh

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="sshd wants root to change to the user who logs in")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("l")) as it:
        it.trust()
        yield it


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as it:
        yield it


def test_a_script_runs_in_one_round_trip_and_its_words_are_not_in_the_process_list(rig: Lab) -> None:
    word = os.urandom(8).hex()  # other processes of this machine may well say "secret"
    secret = f"it's a $({word})"
    script = (
        command("printf", "%s", secret),
        command("ps", "-eo", "args"),
        command("false", check=False),
        command("cat", stdin="in"),
        command("false"),
        command("echo", "never"),
    )
    answers = rig.transport().run(script)
    assert [a.status for a in answers] == [0, 0, 1, 0, 1]
    assert answers[0].out == secret
    assert answers[3].out == "in"
    assert word not in answers[1].out


def test_five_megabytes_in_and_out(rig: Lab) -> None:
    big = "0123456789abcde\n" * 330_000
    assert rig.transport().run((command("cat", stdin=big),)) == (Answer(0, big),)


def test_calls_share_one_connection_and_a_fresh_one_does_not(rig: Lab, relay: Relay) -> None:
    rig.trust(port=relay.port)
    transport = replace(rig.transport(), port=relay.port)
    for _ in range(3):
        assert transport.run((command("echo", "x"),)) == (Answer(0, "x\n"),)
    assert relay.accepted == 1
    assert transport.fresh().run((command("echo", "x"),)) == (Answer(0, "x\n"),)
    assert relay.accepted == 2
    (shared,) = (f for f in rig.control.iterdir() if f.name == transport._socket().name)
    transport.close()
    assert not shared.exists()


@pytest.fixture
def relay(rig: Lab) -> Iterator[Relay]:
    it = Relay(rig.port)
    yield it
    it.close()


def test_a_line_that_goes_dead_in_mid_command_is_noticed(rig: Lab, relay: Relay, tmp_path: Path) -> None:
    rig.trust(port=relay.port)
    transport = replace(rig.transport(), port=relay.port)
    started = tmp_path / "started"
    threading.Thread(target=freeze_when, args=(relay, started)).start()
    began = time.monotonic()
    with pytest.raises(TransportError, match="h1: the line broke in mid-conversation"):
        transport.run((command("touch", str(started)), command("sleep", "20")), timeout=60)
    assert time.monotonic() - began < 15


def freeze_when(relay: Relay, sign: Path) -> None:
    end = time.monotonic() + 20
    while not sign.exists() and time.monotonic() < end:
        time.sleep(0.01)
    relay.frozen = True


def test_a_dead_shared_connection_does_not_keep_a_later_call_from_a_new_one(rig: Lab, relay: Relay) -> None:
    rig.trust(port=relay.port)
    transport = replace(rig.transport(), port=relay.port, connect_timeout=1)
    transport.run((command("true"),))
    relay.frozen = True
    with pytest.raises(TransportError):
        transport.run((command("true"),), timeout=20)
    relay.frozen = False
    assert transport.run((command("echo", "again"),)) == (Answer(0, "again\n"),)
    transport.close()


def test_no_answer_within_the_timeout(rig: Lab) -> None:
    with pytest.raises(TransportError, match=r"h1: no answer within 0\.5 s \(it may still be doing"):
        rig.transport().run((command("sleep", "5"),), timeout=0.5)


def test_an_unknown_host_key_is_refused_with_what_to_do(alone: Lab) -> None:
    with pytest.raises(TransportError) as caught:
        alone.transport().run((command("true"),))
    assert "its host key is not known on this machine" in caught.value.reason
    assert f"ssh -F {alone.config} -p {alone.port} 127.0.0.1" in caught.value.hint
    assert not alone.known_hosts.exists()


def test_a_changed_host_key_is_refused_loudly(alone: Lab) -> None:
    alone.trust(keygen(alone.place / "other"))
    with pytest.raises(TransportError) as caught:
        alone.transport().run((command("true"),))
    assert caught.value.reason.startswith(f"ITS HOST KEY HAS CHANGED (known from {alone.known_hosts}:1)")
    assert f"ssh-keygen -f {alone.known_hosts} -R '[127.0.0.1]:{alone.port}'" in caught.value.hint


def test_an_alias_names_the_host_key_of_a_device_whose_address_changes(alone: Lab) -> None:
    public = alone.host_key.with_suffix(".pub").read_text()
    alone.known_hosts.write_text(f"h1.example {public}")
    assert replace(alone.transport(), alias="h1.example").run((command("true"),)) == (Answer(0, ""),)


def test_a_refused_login(rig: Lab, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(rig.config.read_text().replace(str(rig.user_key), str(keygen(tmp_path / "stranger"))))
    with pytest.raises(TransportError, match=r"it refuses the login \(it offers: publickey\)"):
        replace(rig.transport(), config_file=config).run((command("true"),))


def test_a_refused_connection(rig: Lab) -> None:
    with pytest.raises(TransportError, match="its SSH port refuses the connection"):
        replace(rig.transport(), port=free_port()).run((command("true"),))


def test_a_name_that_does_not_resolve(rig: Lab) -> None:
    transport = OpenSsh("h1", "no-such-host.invalid", config_file=rig.config)
    with pytest.raises(TransportError, match=r"the name no-such-host\.invalid does not resolve"):
        transport.run((command("true"),))


def test_a_machine_that_says_nothing(rig: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(TransportError, match="did not answer the connection in time"):
            replace(rig.transport(), port=port, connect_timeout=1).run((command("true"),))


def test_a_configuration_that_ssh_does_not_accept(rig: Lab, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("NoSuchOption yes\n")
    with pytest.raises(TransportError, match=r"your ssh configuration is not accepted: .*nosuchoption"):
        replace(rig.transport(), config_file=config).run((command("true"),))


def test_a_program_with_pipes(rig: Lab) -> None:
    with rig.transport().popen(("sh", "-c", 'cat; echo "$1" >&2', "sh", "a  b")) as process:
        out, err = process.communicate(b"in", 20)
    assert (out, err, process.returncode) == (b"in", b"a  b\n", 0)


def test_a_terminal_on_request(rig: Lab) -> None:
    transport = rig.transport()
    for tty, answer in ((True, 0), (False, 1)):
        words = transport.argv(("test", "-t", "0"), tty=tty)
        assert (
            subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode
            == answer
        )


def test_one_who_presses_ctrl_c_at_the_terminal_does_not_cut_the_line(rig: Lab) -> None:
    with rig.transport().popen(("cat",)) as process:
        assert os.getpgid(process.pid) != os.getpgid(0)
        with contextlib.suppress(BrokenPipeError):
            process.communicate(b"", 20)


@pytest.mark.parametrize("target", ["", "-oProxyCommand=x", "a b"])
def test_what_is_no_host_name_never_reaches_ssh(target: str) -> None:
    with pytest.raises(ValueError, match="expected a host name or address"):
        OpenSsh("h1", target)


def test_a_control_directory_too_long_for_a_socket_is_refused(rig: Lab) -> None:
    with pytest.raises(ValueError, match="a control directory has at most"):
        replace(rig.transport(), control_dir=Path("/tmp/" + "x" * 100))
