"""What is saved of a device before the first touch, and whether its lines bring it back."""

from __future__ import annotations

import stat
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from grappe.apply import archive
from grappe.apply.device import HOME
from grappe.model.script import Answer, command
from grappe.transport.prefixed import Prefixed

# A mount namespace whose /etc and /var/lib are its own, so that nothing of this machine is read or written.
OWN = (
    'd=$1; shift; mkdir -p "$d/etc/network/interfaces.d" "$d/lib"; mount --bind "$d/etc" /etc && '
    'mount --bind "$d/lib" /var/lib && mount -t tmpfs none /run && exec "$@"'
)


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as it:
        yield Path(it)


@pytest.fixture
def way(place: Path) -> Prefixed:
    return Prefixed("h1", ("unshare", "--mount", "sh", "-c", OWN, "sh", str(place)))


def ask(way: Prefixed, run: str) -> Answer:
    (answer,) = way.run((archive.save(run),))
    return answer


def test_a_configuration_is_saved_there_and_here_and_its_lines_restore_it(way: Prefixed, place: Path) -> None:
    way.run((command("true"),))
    interfaces = place / "etc/network/interfaces"
    interfaces.write_text("auto eno1\n")
    (place / "etc/network/interfaces.d/br 0").write_text("iface br0\n")
    here = archive.keep_here(place / "here", "h/1", "r1", ask(way, "r1"))
    assert here.name == "r1-h_1.tar"
    assert stat.S_IMODE(here.stat().st_mode) == 0o600
    with tarfile.open(here) as tar:
        kept = tar.extractfile("r1/files/etc/network/interfaces")
        assert kept is not None
        assert kept.read() == b"auto eno1\n"
    interfaces.write_text("wrong\n")
    (place / "etc/network/interfaces.d/br 0").unlink()
    lines = (place / "lib/grappe/archive/r1/RESTORE").read_text()
    assert archive.there("r1") == f"{HOME}/archive/r1"
    assert way.run((command("sh", "-e", stdin=lines),))[0] == Answer(0, "")
    assert interfaces.read_text() == "auto eno1\n"
    assert (place / "etc/network/interfaces.d/br 0").read_text() == "iface br0\n"


def test_the_newest_archives_and_the_very_first_are_kept(way: Prefixed, place: Path) -> None:
    for number in range(archive.KEEP + 4):
        assert ask(way, f"r{number:02}").ok
    kept = sorted(p.name for p in (place / "lib/grappe/archive").iterdir())
    assert kept == ["first", "r00", *(f"r{n:02}" for n in range(4, archive.KEEP + 4))]
    assert (place / "lib/grappe/archive/first").readlink() == Path("r00")


def test_a_device_that_cannot_keep_an_archive_says_why(way: Prefixed, place: Path) -> None:
    (place / "lib").mkdir()
    (place / "lib/grappe").write_text("in the way")
    with pytest.raises(ValueError, match="grappe"):
        archive.keep_here(place / "here", "h1", "r1", ask(way, "r1"))
    assert not (place / "here").exists()
