import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grappe.twin.guest import cpio
from grappe.twin.guest.kmodules import dependencies, load_order
from grappe.twin.guest.packages import first_dependency
from grappe.twin.guest.tools import BuildError


@pytest.mark.skipif(shutil.which("cpio") is None, reason="cpio is the judge here and is not installed")
def test_cpio_unpacks_what_was_packed(tmp_path: Path) -> None:
    packed = cpio.archive(
        [
            cpio.folder("bin"),
            cpio.regular("bin/tool", b"#!", executable=True),
            cpio.regular("odd", b"12345"),
            cpio.regular("empty", b""),
            cpio.link("bin/sh", "tool"),
        ]
    )
    subprocess.run(["cpio", "-i", "--quiet"], input=packed, cwd=tmp_path, check=True)
    assert (tmp_path / "bin/tool").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "odd").read_bytes() == b"12345"
    assert (tmp_path / "empty").read_bytes() == b""
    assert (tmp_path / "bin/sh").readlink() == Path("tool")


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_every_record_starts_on_a_multiple_of_four(contents: list[bytes]) -> None:
    packed = cpio.archive([cpio.regular(f"f{number}", data) for number, data in enumerate(contents)])
    assert len(packed) % 4 == 0
    offset = 0
    for data in contents:
        assert packed[offset : offset + 6] == b"070701"
        size, name = int(packed[offset + 54 : offset + 62], 16), int(packed[offset + 94 : offset + 102], 16)
        assert size == len(data)
        offset += (110 + name + 3) // 4 * 4 + (size + 3) // 4 * 4
    assert packed[offset + 110 :].startswith(b"TRAILER!!!\0")


def test_modules_come_after_what_they_need() -> None:
    needs = {"net": ["failover", "virtio"], "failover": ["base"], "virtio": ["base"], "base": []}
    assert load_order(["net", "virtio"], needs.__getitem__) == ["base", "failover", "virtio", "net"]


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (
            b"\x7fELF\0license=GPL\0depends=virtio_ring,net-failover\0name=x\0",
            ("virtio_ring", "net_failover"),
        ),
        (b"\x7fELF\0depends=\0", ()),
        (b"\x7fELF", ()),
    ],
)
def test_a_module_says_what_it_needs(module: bytes, names: tuple[str, ...]) -> None:
    assert dependencies(module) == names


def test_the_kernel_behind_a_metapackage_is_its_first_dependency() -> None:
    record = (
        "Package: linux-image-cloud-amd64\nDepends: linux-image-6.1.0-9-cloud-amd64 (= 6.1.9-1), x\nSize: 1\n"
    )
    assert first_dependency(record) == "linux-image-6.1.0-9-cloud-amd64"


def test_a_record_without_dependencies_names_the_cure() -> None:
    with pytest.raises(BuildError, match="apt-get update"):
        first_dependency("Package: x\n")
