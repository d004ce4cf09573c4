"""A finding: something the checks have to say about the declaration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from grappe.model.site import Path


class Severity(StrEnum):
    """`error` blocks; `risk` and `warning` can be acknowledged; `info` tells."""

    ERROR = "error"
    RISK = "risk"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding. `explain CODE` holds the long explanation of its code."""

    code: str
    severity: Severity
    at: Path
    message: str
    hint: str = ""
    data: Mapping[str, str | int] = field(default_factory=dict)
    related: tuple[Path, ...] = ()
    accepted: str | None = None
    """The operator's reason, when `accept:` acknowledges it."""
