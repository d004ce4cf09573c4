"""Wrong use of the command line: what is said, on which stream, with which exit status; never a traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SITE = Path(__file__).parents[2] / "examples" / "kvm-cluster" / "site.yaml"


def grappe(
    *words: str, cwd: Path, env: dict[str, str] | None = None, site: Path = SITE
) -> subprocess.CompletedProcess[str]:
    around = {**os.environ, "GRAPPE_FILE": str(site), "XDG_STATE_HOME": str(cwd / "state"), **(env or {})}
    argv = [sys.executable, "-m", "grappe", *words]
    return subprocess.run(
        argv, cwd=cwd, env=around, capture_output=True, text=True, errors="replace", timeout=60, check=False
    )


PLAN = {"format": "grappe/plan/1", "grappe": "0", "site": "rack", "digest": "x", "stages": []}

BAD_USE = {
    "missing file": (["-f", "none.yaml", "check"], "none.yaml: there is no such declaration", "grappe init"),
    "directory": (["-f", "folder", "plan"], "folder: Is a directory", "expected a declaration"),
    "broken YAML": (["-f", "broken.yaml", "check"], "broken.yaml:2:1: not YAML", "1 problem"),
    "empty": (["-f", "empty.yaml", "status"], "empty.yaml:1:1: the file is empty", "grappe init"),
    "binary": (["-f", "binary", "check"], "binary:1:1: not UTF-8", "0xff"),
    "verb": (["chek"], "No such command 'chek'", "'check'"),
    "code": (["explain", "duplicate-adress"], "no finding called duplicate-adress", "duplicate-address"),
    "host code": (["explain", "host-package"], "no finding called host-package", "host-packages"),
    "device": (["status", "--only", "sv1"], "no device sv1", "did you mean sw1?"),
    "device of a plan": (["plan", "--only", "x"], "no device x", "expected h1, h2, h3 or sw1"),
    "network": (["verify", "-n", "fronts"], "no network fronts", "did you mean front?"),
    "VM": (["vm", "start", "wep1"], "no VM wep1", "did you mean web1?"),
    "VM's console": (["vm", "console", "wep1"], "no VM wep1", "did you mean web1?"),
    "host to look at": (["preflight", "h9x"], "no host h9x", "h1, h2 or h3"),
    "host to trust": (["trust", "nobody"], "no device nobody", "h1, h2, h3 or sw1"),
    "machine": (["twin", "up", "--qemu", "h77"], "no host h77", "h1, h2 or h3"),
    "cable": (["twin", "fault", "pull", "h1"], "expected HOST/NIC, found h1", "grappe twin status"),
    "no plan": (["apply", "none.plan"], "none.plan: there is no such plan", "grappe plan --out"),
    "plan is a directory": (["apply", "folder"], "folder: Is a directory", "grappe plan --out"),
    "plan is empty": (["apply", "empty.yaml"], "expected a plan in JSON", "found an empty file"),
    "plan is YAML": (["apply", "broken.yaml"], "expected a plan in JSON", "site: ["),
    "plan is deep": (["apply", "deep"], "expected a plan in JSON", "recursion"),
    "plan of tomorrow": (
        ["apply", "new.plan"],
        "expected a plan of version 1, found 2",
        "written by grappe 9",
    ),
    "another JSON": (["apply", "check.json"], "found format 'grappe/check/1'", "grappe/plan/1"),
    "damaged plan": (["apply", "damaged.plan"], "the plan is damaged", "refusals"),
    "plan of before": (["apply", "old.plan"], "the declaration has changed since the plan", "plan again"),
    "two ends": (["apply", "--resume", "--abort"], "exclude each other", ""),
    "plan and choice": (["apply", "old.plan", "--only", "h1"], "as it stands", "--only"),
    "two formats": (["check", "--json", "--sarif"], "exclude each other", ""),
    "schema": (["schema", "nope"], "nope", "declaration"),
    "ssh": (["--ssh-config", "nowhere", "status"], "nowhere", "--ssh-config"),
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.yaml").touch()
    (tmp_path / "broken.yaml").write_text("site: [\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "deep").write_text("[" * 200_000)
    (tmp_path / "new.plan").write_text(json.dumps({"format": "grappe/plan/2", "grappe": "9"}))
    (tmp_path / "check.json").write_text(json.dumps({"format": "grappe/check/1"}))
    (tmp_path / "damaged.plan").write_text(json.dumps(PLAN))
    whole = {**PLAN, "refusals": [], "frozen": {}, "foreign": [], "undeclared": []}
    (tmp_path / "old.plan").write_text(json.dumps(whole))
    return tmp_path


@pytest.mark.parametrize("case", BAD_USE)
def test_wrong_use_says_what_and_what_to_do(case: str, place: Path) -> None:
    words, what, hint = BAD_USE[case]
    done = grappe(*words, cwd=place)
    assert done.returncode == 2, done
    assert what in done.stderr, done.stderr
    assert hint in done.stderr, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert not (place / "state").exists()


def test_a_plan_that_was_edited_is_not_carried_out(place: Path) -> None:
    from grappe.document import load
    from grappe.graph.plan import Plan
    from grappe.graph.plan_json import dump

    text = dump(Plan("rack", load(SITE).digest, undeclared=()))
    (place / "good.plan").write_text(text)
    (place / "edited.plan").write_text(text.replace('"frozen": {}', '"frozen": {"h1": "x"}'))
    assert "nothing to do" in grappe("apply", "good.plan", cwd=place).stdout
    done = grappe("apply", "edited.plan", cwd=place)
    assert done.returncode == 2
    assert "not as it was written" in done.stderr


def test_a_twin_that_is_not_up_is_said_so(place: Path) -> None:
    for words in (["status"], ["twin", "down"], ["twin", "status"], ["twin", "shell", "h1"], ["verify"]):
        done = grappe("--twin-name", f"never-{os.getpid()}", *words, cwd=place)
        assert (done.returncode, done.stdout) == (1, ""), done
        assert "is up" in done.stderr
        assert "grappe twin up" in done.stderr


def test_what_blocks_ends_plan_and_apply_before_any_device_is_asked(place: Path) -> None:
    (place / "bad.yaml").write_text(SITE.read_text().replace("office: .12", "office: .11"))
    for verb in ("plan", "apply"):
        done = grappe("-f", "bad.yaml", verb, cwd=place)
        assert done.returncode == 1, done
        assert "every plan; the first is" in done.stderr
        assert "grappe check" in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_encoding_of_the_terminal_will_do(encoding: str, place: Path) -> None:
    text = SITE.read_text().replace("a spare switch lies in the rack", "Ersatz für später → «Schrank»")
    (place / "site.yaml").write_text(text, encoding="utf-8")
    env = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    assert grappe("check", cwd=place, env=env, site=place / "site.yaml").returncode == 0
    argv = [sys.executable, "-m", "grappe", "-f", str(place / "site.yaml"), "check", "--json"]
    said = subprocess.run(argv, env={**os.environ, **env}, capture_output=True, check=True).stdout
    reasons = [f["accepted"] for f in json.loads(said.decode(encoding))["findings"]]
    assert "Ersatz für später → «Schrank»" in reasons


def test_a_full_disk_under_the_output_is_an_error_and_a_reader_that_left_is_none() -> None:
    argv = [sys.executable, "-m", "grappe", "-f", str(SITE), "check"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "standard output cannot be written: No space left" in done.stderr
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(argv, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_colour_stays_away_when_it_is_not_wanted() -> None:
    argv = [sys.executable, "-m", "grappe", "-f", "/nowhere", "check"]
    assert "\x1b" in _on_a_terminal(argv, {"NO_COLOR": "", "TERM": "xterm"})
    assert "\x1b" not in _on_a_terminal(argv, {"NO_COLOR": "1", "TERM": "xterm"})
    assert "\x1b" not in _on_a_terminal(argv, {"NO_COLOR": "", "TERM": "dumb"})


def _on_a_terminal(argv: list[str], env: dict[str, str]) -> str:
    mine, theirs = os.openpty()
    try:
        subprocess.run(argv, stderr=theirs, env={**os.environ, **env}, check=False)
        return os.read(mine, 4096).decode()
    finally:
        os.close(mine)
        os.close(theirs)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_verb_that_waits_for_silent_devices_ends_at_once_when_told_to(
    number: signal.Signals, status: int, tmp_path: Path
) -> None:
    silent = tmp_path / "ssh_config"
    silent.write_text(f"Host *\n  ProxyCommand sh -c 'echo >>{tmp_path}/called; exec sleep 30'\n")
    argv = [sys.executable, "-m", "grappe", "-f", str(SITE), "--ssh-config", str(silent), "status"]
    # Tests that run in the background of a shell have SIGINT ignored, and would hand that down.
    process = subprocess.Popen(
        ["env", "--default-signal=INT", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    limit = time.monotonic() + 20
    while not (tmp_path / "called").exists():
        assert time.monotonic() < limit, "no device was called within 20 s"
        time.sleep(0.02)
    begun = time.monotonic()
    process.send_signal(number)
    out, said = process.communicate(timeout=20)
    assert (process.returncode, out, said) == (status, "", "error: interrupted\n")
    assert time.monotonic() - begun < 5
