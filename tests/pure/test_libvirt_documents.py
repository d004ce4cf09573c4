"""libvirt documents: what is written reads back, and what is not ours stays, letter for letter."""

from __future__ import annotations

from xml.etree.ElementTree import Element

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grappe.graph.change import Change
from grappe.graph.resource import Key, Resource, Value
from grappe.platforms.kvm import domain_xml, libvirt_marks, networks
from grappe.platforms.kvm.libvirt_marks import Mark
from grappe.platforms.kvm.libvirt_xml import marked_by, parse, set_mark, text_of

TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f"), max_size=12)
NAMES = TEXT.filter(bool)

BY_HAND = """<domain type="kvm" xmlns:q="urn:qemu"><name>x</name><uuid>u</uuid>
<metadata><o:a xmlns:o="urn:o" site="n">text &amp; more</o:a></metadata>
<memory unit="MiB">64</memory><currentMemory unit="MiB">32</currentMemory><vcpu placement="static">2</vcpu>
<os><type machine="q35">hvm</type><kernel>/k</kernel></os><devices>
<disk type="file" device="cdrom"><source file="/cd"/><target dev="sda"/></disk>
<disk type="file" device="disk"><driver iothread="1"/><source file="/a"/><target dev="vda"/></disk>
<interface type="network"><mac address="52:54:00:00:00:01"/><source network="n" portgroup="g"/>
<filterref filter="clean"/><address type="pci" slot="0x05"/></interface>
<hostdev mode="subsystem"/></devices><q:commandline><q:arg value="-S"/></q:commandline></domain>"""


@st.composite
def hardware(draw: st.DrawFn) -> dict[str, Value]:
    macs = draw(st.lists(st.integers(0, 255), max_size=3, unique=True))
    targets = draw(st.lists(st.sampled_from(["vda", "vdb", "vdc"]), max_size=3, unique=True))
    kernel = st.tuples(st.just("kernel"), NAMES, TEXT, TEXT)
    return {
        "vcpus": draw(st.integers(1, 64)),
        "memory": draw(st.integers(1, 1 << 20)) << 20,
        "nics": tuple(
            (f"52:54:00:00:00:{m:02x}", draw(NAMES), draw(TEXT), draw(st.sampled_from([0, 1500, 9000])))
            for m in macs
        ),
        "disks": tuple((t, "/" + draw(NAMES)) for t in targets),
        "boot": draw(st.one_of(st.just(("disk",)), kernel)),
    }


@given(NAMES, hardware(), hardware())
def test_a_domain_reads_back_as_written_and_changed(
    name: str, one: dict[str, Value], other: dict[str, Value]
) -> None:
    domain = domain_xml.skeleton(name, "u", "tcg")
    for wanted in (one, other, one):
        domain_xml.edit(domain, wanted)
        domain = parse(text_of(domain))
        assert domain_xml.attributes(domain) == wanted


@given(hardware())
def test_what_is_not_ours_in_a_domain_stays(wanted: dict[str, Value]) -> None:
    domain = parse(BY_HAND)
    domain_xml.edit(domain, wanted)
    text = text_of(domain)
    for kept in (
        '<o:a xmlns:o="urn:o" site="n">text &amp; more</o:a>',
        '<q:arg value="-S" />',
        "hostdev",
        "/cd",
    ):
        assert kept in text


def test_an_edit_that_changes_nothing_leaves_the_text_alone() -> None:
    domain = parse(BY_HAND)
    before = text_of(domain)
    domain_xml.edit(domain, domain_xml.attributes(domain))
    assert text_of(domain) == before


def test_a_nic_that_moves_keeps_its_slot_and_its_filters() -> None:
    domain = parse(BY_HAND)
    domain_xml.edit(domain, {"nics": (("52:54:00:00:00:01", "n", "other", 9000),)})
    nic = domain.find("devices/interface")
    assert nic is not None
    assert [child.tag for child in nic] == ["mac", "filterref", "address", "source", "mtu"]


@given(st.sampled_from([BY_HAND, "<network><name>n</name></network>"]), NAMES, NAMES)
def test_a_mark_is_read_back_replaced_and_taken_away_without_a_trace(text: str, one: str, other: str) -> None:
    root = parse(text)
    before = text_of(root)
    assert marked_by(root) is None
    for site in (one, other):
        set_mark(root, "vm", site)
        root = parse(text_of(root))
        assert marked_by(root) == site
    set_mark(root, "vm", None)
    assert text_of(root) == before


def test_a_mark_counts_whatever_prefix_libvirt_gave_it_and_wherever_it_is_declared() -> None:
    inside = (
        '<network><metadata xmlns:z="https://grappe.invalid/ns/1"><z:network site="s"/></metadata></network>'
    )
    assert marked_by(parse(inside)) == "s"
    assert marked_by(parse(inside.replace("invalid", "example"))) is None


def test_what_is_no_xml_is_said() -> None:
    with pytest.raises(ValueError, match="not well-formed"):
        parse("<a><b></a>")


VLANS = st.one_of(
    st.builds(lambda tag: {"native": tag, "tagged": frozenset[int](), "trunk": False}, st.integers(0, 4094)),
    st.builds(
        lambda native, tagged: {"native": native, "tagged": frozenset(tagged - {native}), "trunk": True},
        st.one_of(st.none(), st.integers(0, 4094)),
        st.sets(st.integers(1, 4094), max_size=5),
    ),
)


@given(NAMES, VLANS, VLANS)
def test_a_port_group_reads_back_as_written_and_keeps_its_bandwidth(
    name: str, one: dict[str, Value], other: dict[str, Value]
) -> None:
    saved = f"<portgroup name='x'><bandwidth><inbound average='8'/></bandwidth>{vlans_text(one)}</portgroup>"
    group = Resource(
        Key("h", networks.GROUP, f"n/{name}"),
        running=other,
        persistent=other,
        facts={"live": saved, "saved": saved},
    )
    element = networks._group_element(group, "live")
    assert networks._vlans(element) == other
    assert element.find("bandwidth/inbound") is not None


def vlans_text(vlans: dict[str, Value]) -> str:
    group = Element("portgroup")
    networks._add_vlans(group, vlans)
    return "".join(text_of(child) for child in group)


@given(NAMES, NAMES, NAMES)
def test_marks_read_back_and_what_is_no_mark_is_passed_over(name: str, parent: str, site: str) -> None:
    mark = Mark("volume", name, parent, site)
    assert libvirt_marks.read(f"nonsense\n[1]\n{mark.line()}\n{{}}\n") >= {mark}
    (command,) = libvirt_marks.set_marks([mark])
    assert command.stdin == f"{mark.id} {mark.line()}\n"
    assert command.stdin.count("\n") == 1


@given(NAMES)
def test_no_name_ever_gets_into_a_shell_text(name: str) -> None:
    network = Resource(
        Key("h", networks.NETWORK, name), running={"active": True}, facts={"site": name, "uuid": "u"}
    )
    group = Resource(
        Key("h", networks.GROUP, f"{name}/{name}"),
        running={"native": 1, "tagged": frozenset(), "trunk": False},
        facts={"site": name, "parent": "u"},
    )
    texts = {
        command.argv[2]
        for change in (Change(network.key, None, network), Change(group.key, group, None))
        for command in networks.realise([change])
    }
    fixed = {networks._SET_NETWORK, networks._DROP_GROUP, libvirt_marks._ERASE, libvirt_marks._WRITE}
    assert texts <= fixed
