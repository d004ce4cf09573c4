"""The file and the model: YAML with positions, schema, messages.

document = load(Path("site.yaml"))      # DeclarationError holds every problem
document.site, document.position(("networks", "LAN")), document.digest
"""

from __future__ import annotations

from grappe.document.first import first_file
from grappe.document.load import Document, load, loads
from grappe.document.problem import DeclarationError, Position, Problem
from grappe.document.schema import schema

__all__ = [
    "DeclarationError",
    "Document",
    "Position",
    "Problem",
    "first_file",
    "load",
    "loads",
    "schema",
]
