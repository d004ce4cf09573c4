"""Recording a device and playing it back."""

from __future__ import annotations

from pathlib import Path

import pytest

from grappe.model.script import Answer, command
from grappe.transport.base import Transport, TransportError
from grappe.transport.local import Local
from grappe.transport.prefixed import Prefixed
from grappe.transport.record import Recorder, Replay, ReplayError

ASK = (command("cat", stdin="é\n"), command("sh", "-c", "printf '\\377' >&2; exit 3"))
MORE = (command("echo", "more"),)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "recording"
    for name in ("h1", "h2"):
        recorder: Transport = Recorder(Local(name), path)
        recorder.run(ASK)
        recorder.fresh().run(MORE)
    return path


def test_a_recording_answers_as_the_device_did(recording: Path) -> None:
    replay = Replay("h1", recording)
    assert replay.run(ASK) == (Answer(0, "é\n"), Answer(3, "", "\udcff"))
    assert replay.left == 1
    assert replay.fresh().run(MORE) == (Answer(0, "more\n"),)
    assert replay.left == 0


def test_another_question_another_order_or_one_more_is_refused(recording: Path) -> None:
    replay = Replay("h1", recording)
    with pytest.raises(ReplayError, match=r"h1: expected cat; sh -c .*, asked echo more"):
        replay.run(MORE)
    replay.run(ASK)
    replay.run(MORE)
    with pytest.raises(ReplayError, match="h1: nothing more was recorded, asked echo more"):
        replay.run(MORE)
    with pytest.raises(ReplayError, match="only scripts are replayed"):
        replay.popen(("true",))
    with pytest.raises(ReplayError, match="only scripts are replayed"):
        replay.argv(("true",))


def test_a_lost_line_is_recorded_too(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    recorder = Recorder(Prefixed("h1", ("no-such-prefix",)), path)
    with pytest.raises(TransportError) as recorded:
        recorder.run(MORE)
    with pytest.raises(TransportError) as replayed:
        Replay("h1", path).run(MORE)
    assert str(replayed.value) == str(recorded.value)


def test_programs_pass_through_a_recorder(tmp_path: Path) -> None:
    recorder = Recorder(Prefixed("h1", ("env",)), tmp_path / "recording")
    assert recorder.argv(("x",)) == ["env", "x"]
    with recorder.popen(("echo", "x")) as process:
        assert process.communicate(timeout=10)[0] == b"x\n"
    assert not recorder.path.exists()
