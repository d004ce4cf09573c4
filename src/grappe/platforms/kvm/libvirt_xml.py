"""libvirt's XML, read and edited without losing what Grappe does not know.

libvirt hands back everything it understands, and metadata of other programs verbatim. Prefixes are kept as
they stand (no namespace processing), so that an edited document differs from the original in the edited
places only.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement, TreeBuilder, tostring
from xml.parsers import expat

NAMESPACE = "https://grappe.invalid/ns/1"
"""XML namespace of Grappe's mark in a network's or a domain's <metadata>."""

_PREFIX = "grappe"


def parse(text: str) -> Element:
    """Read a document. ValueError when it is not well-formed XML."""
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda tag, attributes: _ignore(builder.start(tag, attributes))
    parser.EndElementHandler = lambda tag: _ignore(builder.end(tag))
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(text.strip(), True)
        return builder.close()
    except expat.ExpatError as error:
        raise ValueError(f"not well-formed XML: {error}") from error


def _ignore(_value: object) -> None:
    """Handlers of expat return nothing."""


def text_of(element: Element) -> str:
    """Write a document, without white space around it."""
    return tostring(element, encoding="unicode").strip()


def attribute(root: Element, path: str, name: str) -> str | None:
    """An attribute of the first element at a path; None when either is missing."""
    found = root.find(path)
    return None if found is None else found.get(name)


def child(parent: Element, tag: str) -> Element:
    """The first child of a name, made at the end when there is none."""
    found = parent.find(tag)
    return SubElement(parent, tag) if found is None else found


def drop(parent: Element, *tags: str) -> None:
    """Remove every child of the given names."""
    for element in [e for e in parent if e.tag in tags]:
        parent.remove(element)


def put(parent: Element, tag: str, attributes: Mapping[str, str | None]) -> None:
    """Set attributes of a child; the child goes when all of them are None."""
    if all(value is None for value in attributes.values()):
        drop(parent, tag)
        return
    element = child(parent, tag)
    for name, value in attributes.items():
        if value is None:
            element.attrib.pop(name, None)
        else:
            element.set(name, value)


def put_text(parent: Element, tag: str, text: str | None) -> None:
    """Set the text of a child, or remove the child with None."""
    if text is None:
        drop(parent, tag)
    else:
        child(parent, tag).text = text


# --- the mark ----------------------------------------------------------------------------------------------


def marked_by(root: Element) -> str | None:
    """Name of the site whose mark a network or domain carries, or None."""
    metadata = root.find("metadata")
    found = None if metadata is None else _mark(root, metadata)
    return None if found is None else found.get("site", "")


def set_mark(root: Element, what: str, site: str | None) -> None:
    """Mark a document as a site's, or take the mark away. The mark is <grappe:WHAT site=…/>."""
    metadata = root.find("metadata")
    present = None if metadata is None else _mark(root, metadata)
    if metadata is not None and present is not None:
        metadata.remove(present)
        if site is None and not len(metadata):
            root.remove(metadata)
    if site is not None:
        attributes = {f"xmlns:{_PREFIX}": NAMESPACE, "site": site}
        SubElement(child(root, "metadata"), f"{_PREFIX}:{what}", attributes)


def _mark(root: Element, metadata: Element) -> Element | None:
    """Our element, whatever prefix stands for our namespace."""
    for element in metadata:
        prefix = element.tag.partition(":")[0]
        declared = f"xmlns:{prefix}"
        if NAMESPACE in (element.get(declared), metadata.get(declared), root.get(declared)):
            return element
    return None
