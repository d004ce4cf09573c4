"""The monitor's client against a real QEMU that has no machine."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from grappe.twin.machine.qmp import Monitor, QmpError, listen


@pytest.fixture
def monitor_path(tmp_path: Path) -> Iterator[Path]:
    # Deeper than the 108 bytes of a socket's address.
    path = tmp_path / ("deep" * 20) / ("deeper" * 10) / "monitor"
    path.parent.mkdir(parents=True)
    with listen(path) as line:
        number = line.fileno()
        words = ["-chardev", f"socket,id=m,fd={number},server=on,wait=off", "-mon", "chardev=m,mode=control"]
        process = subprocess.Popen(
            ["qemu-system-x86_64", "-machine", "none", "-nodefaults", "-display", "none", "-S", *words],
            pass_fds=[number],
        )
    yield path
    process.kill()
    process.wait()


def test_a_command_is_answered_however_deep_the_socket_lies(monitor_path: Path) -> None:
    with Monitor(monitor_path) as monitor:
        assert monitor.execute("query-status")["status"] == "prelaunch"


def test_events_between_are_skipped(monitor_path: Path) -> None:
    with Monitor(monitor_path) as monitor:
        monitor.execute("cont")
        monitor.execute("stop")
        assert monitor.execute("query-status")["running"] is False


def test_a_second_client_may_come_after_the_first(monitor_path: Path) -> None:
    for _ in range(2):
        with Monitor(monitor_path) as monitor:
            assert monitor.execute("query-name") == {}


def test_a_refusal_carries_qemus_words(monitor_path: Path) -> None:
    with Monitor(monitor_path) as monitor, pytest.raises(QmpError, match="set_link: Device 'nic7' not found"):
        monitor.execute("set_link", {"name": "nic7", "up": False})


def test_a_missing_monitor_is_named(tmp_path: Path) -> None:
    with pytest.raises(QmpError, match=r"no QEMU answers at .*/monitor"):
        Monitor(tmp_path / "monitor")


def test_a_monitor_that_ends_is_an_error_not_a_hang(monitor_path: Path) -> None:
    with Monitor(monitor_path) as monitor:
        monitor.execute("quit")
        with pytest.raises(QmpError):
            monitor.execute("query-status")
