"""An installer's stanza taken over and given back, by the real shell and awk, byte by byte."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from grappe.graph.change import Change
from grappe.graph.resource import Resource
from grappe.model.script import Answer
from grappe.platforms.shared import stanzas

INSTALLER = """# The loopback network interface
auto lo
iface lo inet loopback

# The primary network interface
allow-hotplug eth0
iface eth0 inet static
\taddress 192.0.2.10/24
\t# a comment inside
\tgateway 192.0.2.1

auto eth1
iface eth1 inet dhcp
"""

OPTIONS = [
    "    address 192.0.2.7/24",
    "\tgateway 192.0.2.1",
    "  mtu 9000",
    "# remark",
    "",
    "    up echo 'auto eth0'",
]
DEVICES = ["lo", "eth0", "eth1", "eth0.10", "eth01"]


@st.composite
def interfaces_files(draw: st.DrawFn) -> str:
    lines = ["source /etc/network/interfaces.d/*"]
    for device in draw(st.lists(st.sampled_from(DEVICES), max_size=6)):
        start = draw(st.sampled_from(["auto", "allow-hotplug", "allow-br0", ""]))
        lines += [f"{start} {device}"] if start else []
        lines += [f"iface {device} inet {draw(st.sampled_from(['static', 'manual', 'dhcp']))}"]
        lines += draw(st.lists(st.sampled_from(OPTIONS), max_size=4))
    end = draw(st.sampled_from(["", "\n"]))
    return "\n".join(lines) + end


def seen(file: Path) -> dict[str, Resource]:
    text = f"\x01{file}\n{file.read_text()}"
    found, _ = stanzas.understand("h1", "site", Answer(0, text))
    return {r.key.name: r for r in found}


def run(change: Change) -> None:
    for step in stanzas.commands([change]):
        subprocess.run(step.argv, input=step.stdin, text=True, check=True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=interfaces_files(), device=st.sampled_from(["eth0", "eth1", "eth0.10"]))
@example(text=INSTALLER, device="eth0")
def test_taken_over_and_given_back_the_file_is_the_same(tmp_path: Path, text: str, device: str) -> None:
    file = tmp_path / "interfaces"
    file.write_text(text if text.endswith("\n") else text + "\n")
    file.chmod(0o640)
    before, original = seen(file), file.read_bytes()
    if device not in before:
        return
    ours = Resource(
        before[device].key,
        persistent={
            "file": str(tmp_path / f"grappe-{device}"),
            "lines": (f"auto {device}", f"iface {device} inet manual"),
        },
        facts={"site": "site"},
    )
    change = Change(ours.key, before[device], ours)
    for _ in range(2):  # twice is harmless
        run(change)
    assert device not in seen(file)
    assert {d: r.persistent for d, r in seen(file).items()} == {
        d: r.persistent for d, r in before.items() if d != device
    }
    assert seen(tmp_path / f"grappe-{device}")[device].marked
    for _ in range(2):
        run(change.reverse())
    assert file.read_bytes() == original
    assert file.stat().st_mode & 0o777 == 0o640
    assert not (tmp_path / f"grappe-{device}").exists()


def test_another_sites_file_is_foreign(tmp_path: Path) -> None:
    file = tmp_path / "grappe-eth0"
    file.write_text(f"{stanzas.HEADER}elsewhere: …\nauto eth0\niface eth0 inet manual\n")
    assert not seen(file)["eth0"].marked
    assert seen(file)["eth0"].facts["site"] == "elsewhere"
