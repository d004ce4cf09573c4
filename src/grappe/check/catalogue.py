"""Every code there is, by name, and what `grappe explain` says about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from textwrap import fill
from types import MappingProxyType, ModuleType

from grappe.check.code import Code
from grappe.check.codes import (
    accept,
    addressing,
    bonds,
    cabling,
    capacity,
    lockout,
    mtu,
    naming,
    registered,
    spof,
    vlans,
)

_MODULES: tuple[ModuleType, ...] = (
    addressing,
    cabling,
    vlans,
    mtu,
    bonds,
    spof,
    lockout,
    capacity,
    registered,
    naming,
    accept,
)


def collect(modules: Iterable[ModuleType]) -> Mapping[str, Code]:
    """Codes of modules by name, in order. Raises ValueError when two have the same name."""
    found: dict[str, Code] = {}
    for module in modules:
        for code in vars(module).values():
            if isinstance(code, Code) and found.setdefault(code.name, code) is not code:
                raise ValueError(f"the code {code.name} is registered twice")
    return MappingProxyType(found)


CATALOGUE: Mapping[str, Code] = collect(_MODULES)
"""Every code by its name, concern by concern."""


class UnknownCodeError(LookupError):
    """There is no such code. The message names the nearest ones."""


def lookup(name: str) -> Code:
    """Return the code of a name; UnknownCodeError names the nearest ones."""
    code = CATALOGUE.get(name.strip().lower().replace("_", "-"))
    if code is None:
        close = nearest(name)
        hint = f"did you mean {' or '.join(close)}?" if close else "`grappe explain` lists all codes"
        raise UnknownCodeError(f"there is no finding called {name}; {hint}")
    return code


def nearest(name: str) -> list[str]:
    """Up to three code names like a wrong one, the nearest first."""
    wanted = name.strip().lower().replace("_", "-")
    close = get_close_matches(wanted, CATALOGUE, n=3)
    return close or [known for known in CATALOGUE if wanted and wanted in known][:3]


def explain(code: Code, width: int = 88) -> str:
    """Return the long explanation of a code as text of a width."""
    parts = [f"{code.name} ({code.severity}): {code.title}", "", fill(plain(code.what), width)]
    for heading, text in (("Why it hurts", code.why), ("How to mend it", code.mend)):
        parts += ["", heading, fill(plain(text), width, initial_indent="  ", subsequent_indent="  ")]
    if code.severity in ("risk", "warning"):
        accepting = f"accept: [{{finding: {code.name}, at: PLACE, reason: WHY}}]"
        parts += ["", "It can be accepted in the file, with the reason:", f"  {accepting}"]
    return "\n".join(parts) + "\n"


def plain(text: str) -> str:
    """Return a text of the source without its line breaks and indentation."""
    return " ".join(text.split())


def index() -> str:
    """Return the list of all codes, a line each: name, severity, title."""
    width = max(len(name) for name in CATALOGUE)
    lines = (f"{c.name:<{width}}  {c.severity:<7}  {c.title}" for c in CATALOGUE.values())
    return "\n".join(lines) + "\n"
