"""A code: the stable word for one kind of finding, and everything there is to explain about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from grappe.model.finding import Finding, Severity
from grappe.model.site import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One kind of finding. `name` never changes once released: people write it in `accept:`."""

    name: str
    severity: Severity
    title: str
    what: str
    """What was found, in general."""
    why: str
    """Why it hurts, with what happened to those who met it."""
    mend: str
    """How to put it right."""

    def at(
        self,
        place: Path,
        message: str,
        *,
        hint: str = "",
        related: Iterable[Path] = (),
        data: Mapping[str, str | int] | None = None,
    ) -> Finding:
        """Build a finding of this code. Related places are sorted, each once."""
        return Finding(
            code=self.name,
            severity=self.severity,
            at=place,
            message=message,
            hint=hint,
            related=tuple(sorted(set(related), key=_place)),
            data=data or {},
        )


def _place(path: Path) -> tuple[str, ...]:
    return tuple(str(step) for step in path)
