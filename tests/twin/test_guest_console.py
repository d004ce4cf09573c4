"""The console helper against a real shell on a real pty, with what a line adds: echo, noise, silence."""

import os
import pty
import socket
import subprocess
from collections.abc import Iterator

import pytest

from grappe.model.script import Answer
from grappe.twin.guest.console import Console, ConsoleClosedError, ConsoleError, decoded


class Descriptor:
    def __init__(self, number: int) -> None:
        self.number = number

    def fileno(self) -> int:
        return self.number


@pytest.fixture
def console() -> Iterator[Console]:
    ours, theirs = pty.openpty()
    # Only the shell of a controlling terminal can be interrupted over it.
    argv = ["setsid", "--ctty", "busybox", "sh", "-i"]
    shell = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    line = Descriptor(ours)
    yield Console(line, line)
    shell.kill()
    shell.wait()
    os.close(ours)


def test_status_and_output_come_back(console: Console) -> None:
    answer = console.run("echo out; echo err >&2; exit 3")
    assert (answer.status, answer.out) == (3, "out\nerr\n")


def test_quotes_lines_and_length_survive(console: Console) -> None:
    text = "x'\"$(false)`\\\n" * 200
    assert console.run(f"cat <<'END'\n{text}END").out == text


def test_output_without_a_last_newline_stays_as_it_is(console: Console) -> None:
    assert console.run("printf 'a\\nb'").out == "a\nb"


def test_a_command_that_does_not_end_is_named_and_the_next_one_runs(console: Console) -> None:
    console.wait_ready()
    with pytest.raises(ConsoleError, match="within 1 s"):
        console.run("sleep 60", timeout=1)
    assert console.run("echo again").out == "again\n"


def test_a_silent_line_is_an_error_that_says_how_long_it_waited() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(ConsoleError, match="no shell answered within 1 s"):
        Console(ours, ours).wait_ready(1)


def test_a_closed_line_is_an_error_at_once() -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(b"Kernel panic")
    theirs.close()
    with ours, pytest.raises(ConsoleError, match="the console closed; the console last said: 'Kernel panic'"):
        Console(ours, ours).wait_for(b"ready")


def test_a_disturbed_answer_is_not_believed() -> None:
    assert decoded(b"") is None
    whole = b"bb3bed2649c1375fa769689c50e46203  -\r\nMApo\r\naQo=\r\n"
    assert decoded(whole) == Answer(status=0, out="hi\n")
    assert decoded(whole.replace(b"MApo", b"[ 1.0] kernel: MApo")) is None


def test_a_program_that_ended_is_told_with_its_last_words_not_waited_for() -> None:
    ours, theirs = pty.openpty()
    subprocess.run(["echo", "no such guest"], stdout=theirs, check=True)
    os.close(theirs)
    line = Descriptor(ours)
    with pytest.raises(ConsoleClosedError, match=r"closed.*no such guest"):
        Console(line, line).wait_ready(20)
    os.close(ours)


def test_a_carrier_that_starts_slowly_is_not_interrupted() -> None:
    ours, theirs = pty.openpty()
    # As ssh and virsh do: a terminal that still turns Ctrl-C into an end, then a shell behind it.
    slow = "sleep 2; exec busybox sh -i"
    carrier = subprocess.Popen(
        ["setsid", "--ctty", "sh", "-c", slow], stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    line = Descriptor(ours)
    console = Console(line, line)
    console.wait_ready(30)
    assert console.run("echo here").out == "here\n"
    assert carrier.poll() is None
    carrier.kill()
    carrier.wait()
    os.close(ours)
