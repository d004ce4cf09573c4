"""Scripts as sh text, run by the real shells that devices have: dash (Debian) and bash (XCP-ng)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grappe.model.script import Answer, Command, Script, command
from grappe.model.shell import RoundTripError, parse_round_trip, quoted, round_trip, standing

SHELLS = pytest.mark.parametrize("shell", ["dash", "bash"])
WORDS = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30
) | st.sampled_from(
    [
        "-n",
        "--",
        "-e",
        "$(touch /x)",
        "`id`",
        "a\nb\n",
        "'",
        '"',
        "\\",
        "\\0101",
        "*",
        "~",
        "!",
        "é",
        "%s",
        "\x81\x88",
    ]
)
BYTES = st.binary(max_size=40).map(lambda b: b.replace(b"\0", b"").decode("utf-8", "surrogateescape"))
ECHO = (
    "import sys, os; o = sys.stdout.buffer; o.write(b'\\0'.join(map(os.fsencode, sys.argv[1:])));"
    "o.write(sys.stdin.buffer.read())"
)


def answers(script: Script, shell: str = "dash", **environment: str) -> tuple[Answer, ...]:
    text = round_trip(script).encode("utf-8", "surrogateescape")
    ran = subprocess.run(
        [shell, "-s"], input=text, capture_output=True, env=os.environ | environment, check=False
    )
    assert ran.stderr == b"", ran.stderr
    return parse_round_trip(ran.stdout)


def octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


@SHELLS
@settings(max_examples=60, deadline=None)
@given(words=st.lists(WORDS | BYTES, max_size=4), stdin=WORDS | BYTES)
def test_words_and_standard_input_arrive_as_they_are(shell: str, words: list[str], stdin: str) -> None:
    (answer,) = answers((Command((sys.executable, "-S", "-E", "-c", ECHO, *words), stdin=stdin),), shell)
    assert (answer.status, answer.err) == (0, "")
    assert octets(answer.out) == octets("\0".join(words) + stdin)


@SHELLS
@settings(max_examples=30, deadline=None)
@given(words=st.lists(WORDS | BYTES, min_size=1, max_size=3), stdin=WORDS | BYTES)
def test_a_standing_script_says_the_same_words(shell: str, words: list[str], stdin: str) -> None:
    text = standing((Command((sys.executable, "-S", "-E", "-c", ECHO, *words), stdin=stdin),), "/dev/fd/1")
    encoded = text.encode("utf-8", "surrogateescape")
    ran = subprocess.run([shell, "-s"], input=encoded, capture_output=True, check=False)
    assert ran.returncode == 0
    assert octets("\0".join(words) + stdin) in ran.stdout


@SHELLS
@settings(max_examples=25, deadline=None)
@given(calls=st.lists(st.tuples(st.integers(0, 255), st.booleans()), max_size=8))
def test_a_script_ends_after_the_first_failed_checked_command(
    shell: str, calls: list[tuple[int, bool]]
) -> None:
    script = tuple(command("sh", "-c", f"exit {status}", check=check) for status, check in calls)
    failed = [i for i, (status, check) in enumerate(calls) if status and check]
    expected = calls[: failed[0] + 1] if failed else calls
    assert [a.status for a in answers(script, shell)] == [status for status, _ in expected]


@SHELLS
def test_outputs_may_hold_anything_and_be_five_megabytes(shell: str) -> None:
    big = "line of text\n" * 400_000
    script = (
        command("cat", stdin=big),
        command("sh", "-c", "printf 'a\\0b\\n\\n'; printf '\\377' >&2; exit 3", check=False),
        command("echo", "grappe-end"),
    )
    assert answers(script, shell) == (
        Answer(0, big, ""),
        Answer(3, "a\0b\n\n", "\udcff"),
        Answer(0, "grappe-end\n", ""),
    )


@SHELLS
def test_a_program_is_run_and_never_a_builtin_or_function_of_that_name(shell: str, tmp_path: Path) -> None:
    for name in ("ga", "echo", "exit"):
        (tmp_path / name).write_text(f'#!/bin/sh\n/bin/echo program {name} "$@"\n')
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    got = answers((command("ga"), command("echo", "-n"), command("exit", "3")), shell, PATH=path)
    assert [a.out for a in got] == ["program ga\n", "program echo -n\n", "program exit 3\n"]


@SHELLS
def test_a_missing_program_is_status_127(shell: str) -> None:
    (answer,) = answers((command("no-such-program"), command("true")), shell)
    assert answer.status == 127
    assert "no-such-program" in answer.err


@SHELLS
def test_a_command_that_ignores_its_input_does_not_upset_the_script(shell: str) -> None:
    assert answers((command("true", stdin="x" * 1_000_000), command("echo", "on")), shell) == (
        Answer(0, ""),
        Answer(0, "on\n"),
    )


@SHELLS
def test_no_commands_no_answers(shell: str) -> None:
    assert answers((), shell) == ()


@SHELLS
@settings(max_examples=20, deadline=None)
@given(part=st.floats(0, 0.999))
def test_a_script_cut_off_on_its_way_does_nothing(
    shell: str, part: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    touched = tmp_path_factory.getbasetemp() / f"touched-{shell}"
    text = round_trip(tuple(command("touch", str(touched)) for _ in range(5)))
    cut = text[: int((len(text) - 4) * part)]
    subprocess.run([shell, "-s"], input=cut.encode(), capture_output=True, check=False)
    assert not touched.exists()


@SHELLS
def test_answers_wait_in_a_private_directory_in_memory_that_is_gone_afterwards(shell: str) -> None:
    look = 'd=$(readlink /proc/$$/fd/1); d=${d%/*}; stat -c %a "$d"; stat -f -c %T "$d"; echo "$d"'
    (answer,) = answers((command("sh", "-c", look),), shell)
    mode, kind, directory = answer.out.split()
    assert (mode, kind) == ("700", "tmpfs")
    assert not Path(directory).exists()


def test_the_private_directory_is_removed_when_the_shell_is_told_to_end() -> None:
    script = (command("sleep", "1"),)
    with subprocess.Popen(["dash", "-s"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        process.stdin.write(round_trip(script).encode())
        process.stdin.flush()
        directory = private_directory_of(process.pid)
        process.terminate()
        process.wait(10)
    assert process.returncode == 98
    assert not directory.exists()


def private_directory_of(pid: int) -> Path:
    """Wait until the shell's child has an output in a private directory; that is the directory."""
    for _ in range(2000):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            try:
                target = Path(f"/proc/{child}/fd/1").readlink()
            except OSError:
                continue
            if target.parent.name.startswith("grappe."):
                return target.parent
    raise AssertionError(f"pid {pid} never started a command")


@SHELLS
def test_without_any_place_for_files_it_says_so(shell: str) -> None:
    # An empty root file system stands for a machine on which nothing can be written.
    text = (
        round_trip((command("true"),))
        .replace("gt=/dev/shm", "gt=/proc")
        .replace("/dev/shm /run", "/proc /proc")
    )
    environment = os.environ | {"TMPDIR": "/proc"}
    ran = subprocess.run(
        [shell, "-s"], input=text.encode(), capture_output=True, env=environment, check=False
    )
    assert ran.returncode == 97
    assert b"no private directory can be made" in ran.stderr
    with pytest.raises(RoundTripError, match="no answer"):
        parse_round_trip(ran.stdout)


def test_a_greeting_before_the_answer_is_skipped() -> None:
    data = b"Welcome to h1\n" + raw((command("echo", "x"),))
    assert parse_round_trip(data) == (Answer(0, "x\n"),)


def raw(script: Script, **options: int) -> bytes:
    text = round_trip(script, **options).encode()
    return subprocess.run(["dash", "-s"], input=text, capture_output=True, check=True).stdout


@settings(max_examples=60, deadline=None)
@given(end=st.floats(0, 1, exclude_max=True))
def test_an_answer_that_broke_off_anywhere_is_refused(end: float) -> None:
    whole = b"grappe-answers 1\n 0 1\n4 o0 0 e0 0 o1 3 e1 7 total\nout\nerrgrappe-end\n"
    assert parse_round_trip(whole) == (Answer(0, "out\n"), Answer(1, "", "err"))
    with pytest.raises(ValueError):
        parse_round_trip(whole[: int(len(whole) * end)])


def test_too_long_an_output_is_refused_and_too_long_an_error_is_cut() -> None:
    data = raw((command("sh", "-c", "printf 123456; printf abcdef >&2"),), limit=6)
    assert parse_round_trip(data, limit=6) == (Answer(0, "123456", "abcdef"),)
    data = raw((command("sh", "-c", "printf abcdefg >&2"),), limit=6)
    assert parse_round_trip(data, limit=6) == (Answer(0, "", "abcdef"),)
    data = raw((command("true"), command("printf", "1234567")), limit=6)
    with pytest.raises(RoundTripError, match="command 2 printed 7 bytes, more than the 6 allowed"):
        parse_round_trip(data, limit=6)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((), "name of a program"),
        (("",), "name of a program"),
        (("-x",), "name of a program"),
        (("a", "b\0"), "NUL"),
    ],
)
def test_what_no_program_can_be_called_with_is_refused(argv: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quoted(argv)


def test_standard_input_with_a_nul_is_refused() -> None:
    with pytest.raises(ValueError, match="standard input of cat cannot hold a NUL"):
        round_trip((command("cat", stdin="a\0b"),))


@SHELLS
def test_a_standing_script_goes_on_after_failures_logs_them_and_fails(shell: str, tmp_path: Path) -> None:
    log, done = tmp_path / "undo log", tmp_path / "it's done"
    script = (
        command("sh", "-c", "echo said; exit 7"),
        command("false", check=False),
        command("tee", str(done), stdin="no newline"),
    )
    (tmp_path / "undo").write_text(standing(script, str(log)))
    for _ in range(2):
        ran = subprocess.run([shell, str(tmp_path / "undo")], capture_output=True, check=False)
        assert (ran.returncode, ran.stdout, ran.stderr) == (1, b"", b"")
    assert done.read_text() == "no newline"
    text = log.read_text()
    assert text.count("said\nstatus 7: sh -c 'echo said; exit 7'") == 2
    assert text.count("undo ended") == text.count(": INCOMPLETE\n") == 2


@SHELLS
def test_a_standing_script_succeeds_when_only_unchecked_commands_fail(shell: str, tmp_path: Path) -> None:
    script = (command("false", check=False), command("true"))
    (tmp_path / "undo").write_text(standing(script, str(tmp_path / "log")))
    ran = subprocess.run([shell, str(tmp_path / "undo")], capture_output=True, check=False)
    assert ran.returncode == 0
    assert ": complete\n" in (tmp_path / "log").read_text()


@SHELLS
def test_a_standing_script_runs_without_its_log(shell: str, tmp_path: Path) -> None:
    done = tmp_path / "done"
    text = standing((command("touch", str(done)),), "/nowhere/log")
    (tmp_path / "undo").write_text(text)
    ran = subprocess.run([shell, str(tmp_path / "undo")], capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert done.exists()
