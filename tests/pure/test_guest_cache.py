import threading
from pathlib import Path

import pytest

from grappe.twin.guest.accel import known_answers, qemu_version
from grappe.twin.guest.cache import digest, ensure_folder


def test_the_borders_between_inputs_count() -> None:
    assert digest(["ab", "c"]) != digest(["a", "bc"])


def test_two_builders_at_once_build_once(tmp_path: Path) -> None:
    built: list[Path] = []
    together = threading.Barrier(2)

    def build(folder: Path) -> None:
        (folder / "file").write_text("whole")
        built.append(folder)

    def ensure() -> None:
        together.wait()
        assert (ensure_folder(tmp_path, "image", "k1", build) / "file").read_text() == "whole"

    threads = [threading.Thread(target=ensure) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1


def test_another_key_is_another_folder(tmp_path: Path) -> None:
    folders = {ensure_folder(tmp_path, "image", key, lambda _: None) for key in ("k1", "k2", "k1")}
    assert {folder.name for folder in folders} == {"image-k1", "image-k2"}


def test_a_failed_build_leaves_nothing_and_is_tried_again(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        ensure_folder(tmp_path, "image", "k1", fail)
    assert [path.name for path in tmp_path.iterdir()] == [".image.lock"]
    assert ensure_folder(tmp_path, "image", "k1", lambda _: None).is_dir()


@pytest.mark.parametrize("content", ["", "[]", "{", '{"6.1 7.2": "fast"}'])
def test_a_damaged_answer_about_kvm_counts_as_none(tmp_path: Path, content: str) -> None:
    store = tmp_path / "accel.json"
    store.write_text(content)
    assert known_answers(store) == {}


def test_an_answer_about_kvm_is_kept_by_qemu_version(tmp_path: Path) -> None:
    store = tmp_path / "accel.json"
    store.write_text('{"6.1 7.2.22": "kvm"}')
    assert known_answers(store) == {"6.1 7.2.22": "kvm"}
    assert qemu_version("QEMU emulator version 7.2.22 (Debian 1)\nCopyright\n") == "7.2.22 (Debian 1)"
