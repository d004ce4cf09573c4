"""docs/declaration.md and the examples' READMEs tell the truth: what they show loads, every key is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from grappe.document import DeclarationError, load, loads, schema
from grappe.document.source import Data, read

TOP = Path(__file__).parents[2]
TEXT = (TOP / "docs" / "declaration.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
BASE = next(block for block in BLOCKS if block.startswith("site:"))
"""The short start: complete by itself, and what completes the pieces."""
READMES = sorted((TOP / "examples").glob("*/README.md"))

SECTIONS = {
    "SiteShape": "site",
    "FabricShape": "fabrics",
    "NetworkShape": "networks",
    "PortGroupShape": "port_groups",
    "PoolShape": "pools",
    "AttachShape": "attach",
    "BondShape": "bonds",
    "StorageShape": "storage",
    "HostShape": "hosts",
    "NicShape": "nics of a host",
    "AccessShape": "access",
    "AddressShape": "addresses",
    "SwitchShape": "switches",
    "SwitchPortShape": "ports",
    "VmShape": "vms",
    "BootShape": "boot",
    "DiskShape": "disks",
    "VmNicShape": "nics of a VM",
    "GuardShape": "guard",
    "RemovedShape": "removed",
    "AcceptShape": "accept",
}
"""Which section of the page explains which shape of the schema."""


def _section(heading: str) -> str:
    """The text below a heading, up to the next one of any level."""
    found = re.search(rf"^##+ {re.escape(heading)}\n(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None, f"no section {heading!r}"
    return found[1]


def _documented(heading: str) -> dict[str, str]:
    """Keys of a section's table, each with the rest of its row."""
    return dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", _section(heading), re.MULTILINE))


def _long_form(shape: Mapping[str, Any]) -> dict[str, Any]:
    forms = [shape, *shape.get("anyOf", ())]
    return next(form["properties"] for form in forms if "properties" in form)


def _shapes() -> dict[str, dict[str, Any]]:
    whole = schema()
    return {"SiteShape": _long_form(whole), **{k: _long_form(v) for k, v in whole["$defs"].items()}}


def _merged(base: Data, piece: Data) -> Data:
    """A piece laid over the base: mappings key by key, everything else replaced."""
    if isinstance(base, dict) and isinstance(piece, dict):
        return {**base, **{k: _merged(base.get(k), v) for k, v in piece.items()}}
    return piece


def _data(text: str) -> Data:
    node, problems = read(text)
    assert not problems
    return node.data()


def _completed(piece: str) -> str:
    # Every scalar is text to the loader, so that JSON with strings says the same as the YAML it comes from.
    return json.dumps(_merged(_data(BASE), _data(piece)))


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("\n")[-2].strip()[:40])
def test_every_yaml_block_loads(block: str) -> None:
    assert loads(block if block.startswith("site:") else _completed(block)).site.name == "home-lab"


def test_the_page_has_a_block_for_every_section_of_the_file() -> None:
    shown = {key for block in BLOCKS for key in _top(block)}
    refused = {"ha", "backups"}
    assert shown == set(_shapes()["SiteShape"]) - refused


def _top(block: str) -> list[str]:
    data = _data(block)
    assert isinstance(data, dict)
    return list(data)


def test_a_wrong_block_would_not_load() -> None:
    with pytest.raises(DeclarationError):
        loads(_completed("vms: {web1: {nics: [nowhere]}}"))


def test_every_shape_of_the_schema_has_its_section() -> None:
    assert set(_shapes()) == set(SECTIONS)


@pytest.mark.parametrize("shape", SECTIONS)
def test_a_section_has_every_key_of_its_shape_and_no_other(shape: str) -> None:
    assert set(_documented(SECTIONS[shape])) == set(_shapes()[shape])


@pytest.mark.parametrize("shape", SECTIONS)
def test_what_is_refused_or_required_is_told_in_its_row(shape: str) -> None:
    rows = _documented(SECTIONS[shape])
    for key, field in _shapes()[shape].items():
        assert rows[key].startswith(" | | [refused by name]") == ("not" in field), key
    assert {k for k, row in rows.items() if "required" in row} == _required(shape)


def _required(shape: str) -> set[str]:
    whole = schema()
    body = whole if shape == "SiteShape" else whole["$defs"][shape]
    forms = [body, *body.get("anyOf", ())]
    return set(next(f.get("required", ()) for f in forms if "properties" in f))


_LATER = [
    *(("a pool's `platform`", w, f"pools: {{kvm: {{platform: {w}}}}}") for w in ("xcp-ng", "proxmox", "xen")),
    ("a switch's `platform`", "routeros", "switches: {s: {platform: routeros}}"),
    *(
        ("a storage's `type`", w, f"pools: {{kvm: {{storage: {{s: {{type: {w}, path: /s}}}}}}}}")
        for w in ("lvm", "nfs", "zfs", "rbd", "ceph", "iscsi", "linstor", "drbd")
    ),
    *(("the site", w, f"{w}: x") for w in ("ha", "backups")),
    *(("a VM", w, f"vms: {{web1: {{{w}: x}}}}") for w in ("template", "iso", "ha", "backups")),
    *(("`boot`", w, f"vms: {{web1: {{boot: {{image: /i, {w}: x}}}}}}") for w in ("template", "iso")),
    ("`boot`", "URL", "vms: {web1: {boot: {image: 'https://example.org/i'}}}"),
]


def _refused_rows() -> dict[str, str]:
    return dict(re.findall(r"^\| (.+?) \| (.*) \|$", _section("Refused by name"), re.MULTILINE))


@pytest.mark.parametrize(("where", "name", "piece"), _LATER, ids=lambda v: str(v)[:30])
def test_a_word_of_the_list_of_refused_ones_is_refused_by_name(where: str, name: str, piece: str) -> None:
    assert name in _refused_rows()[where]
    with pytest.raises(DeclarationError) as refused:
        loads(_completed(piece))
    assert re.search(
        r"honours (it|a URL|storage type \w+) yet|has no platform [\w-]+ yet", str(refused.value)
    )


def test_the_list_of_refused_ones_has_no_word_that_is_not_tried() -> None:
    tried = {(where, name) for where, name, _ in _LATER}
    listed = {(where, w) for where, row in _refused_rows().items() for w in re.findall(r"`([\w-]+)`", row)}
    assert {pair for pair in listed if pair[0] != "where"} <= tried


@pytest.mark.parametrize("memory", ["2048", "65535"])
def test_a_bare_small_size_is_refused_as_the_page_says(memory: str) -> None:
    with pytest.raises(DeclarationError, match="unit"):
        loads(_completed(f"vms: {{web1: {{memory: {memory}}}}}"))


def test_derived_names_are_what_the_page_says() -> None:
    site = loads(_completed("pools: {kvm: {hosts: {h1: {addresses: {front: .3}}}}}")).site
    host = site.hosts["h1"]
    assert [(a.port, str(a.address)) for a in host.addresses] == [
        ("eth0", "192.168.10.11/24"),
        ("vlan10", "10.10.1.3/24"),
    ]
    assert (host.attachments[1].bridge, site.vms["web1"].nics[0].port_group) == ("br-rack", "front")
    assert site.vms["web1"].nics[0].mac.startswith("52:54:00:")


def test_links_within_the_page_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in re.findall(r"^##+ (.*)$", TEXT, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= headings


def _commands(readme: Path) -> Iterator[str]:
    block = readme.read_text(encoding="utf-8").partition("## Try it")[2].split("```")[1]
    return (line.partition("#")[0].strip() for line in block.splitlines())


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_an_example_adopts_what_its_file_declares_removed_on_every_host(readme: Path) -> None:
    site = load(readme.with_name("site.yaml")).site
    wanted = {f"{h}/libvirt-network/{n}" for h in site.hosts for n in site.removed["libvirt_networks"]}
    for verb in ("plan", "apply"):
        (line,) = (c for c in _commands(readme) if c.startswith(f"grappe --twin {verb}"))
        patterns = re.findall(r"--adopt '?([^' ]+)'?", line)
        assert all(any(fnmatchcase(key, p) for p in patterns) for key in wanted)
        assert all(any(fnmatchcase(h, p.partition("/")[0]) for h in site.hosts) for p in patterns)
