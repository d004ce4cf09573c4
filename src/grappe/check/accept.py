"""Acknowledgements: findings that the operator knows and takes, each with its reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches

from grappe.check import places
from grappe.check.code import Code
from grappe.check.codes import accept as codes
from grappe.model.finding import Finding, Severity
from grappe.model.site import Acknowledgement, Path, Site


def acknowledge(site: Site, findings: Sequence[Finding], known: Mapping[str, Code]) -> Iterator[Finding]:
    """Findings with the reasons of those that are accepted, and what is wrong with the acknowledgements.

    An acknowledgement matches a finding of its code when the finding, or a place related to it, is at the
    acknowledged place or inside it; a place of a pool stands for the same place at each of its hosts. Errors
    are never accepted.
    """
    by_code: defaultdict[str, list[Acknowledgement]] = defaultdict(list)
    for entry in site.accept:
        by_code[entry.finding].append(entry)
    used: set[Path] = set()
    refused: set[Path] = set()
    for finding in findings:
        matching = [entry for entry in by_code.get(finding.code, ()) if _matches(site, finding, entry.at)]
        if finding.severity is Severity.ERROR:
            refused.update(entry.place for entry in matching)
            yield finding
        elif matching:
            used.update(entry.place for entry in matching)
            yield replace(finding, accepted=min(entry.reason for entry in matching))
        else:
            yield finding
    for entry in site.accept:
        if entry.place not in used:
            yield _unused(entry, entry.place in refused, known)


def _matches(site: Site, finding: Finding, at: Path) -> bool:
    named = (finding.at, *finding.related)
    return any(places.starts_with(place, at) for path in named for place in places.wider(site, path))


def _unused(entry: Acknowledgement, refused: bool, known: Mapping[str, Code]) -> Finding:
    shown = f"{entry.finding} at {places.show(entry.at)}"
    if entry.finding not in known:
        close = get_close_matches(entry.finding, known, n=3)
        return codes.ACCEPT_UNKNOWN_CODE.at(
            entry.place,
            f"there is no finding called {entry.finding}",
            hint=f"did you mean {' or '.join(close)}?" if close else "`grappe explain` lists all codes",
        )
    if refused:
        return codes.ACCEPT_ERROR.at(
            entry.place, f"{shown} is an error and cannot be accepted", hint="mend it, and remove this entry"
        )
    return codes.ACCEPT_WITHOUT_FINDING.at(
        entry.place,
        f"nothing to accept: there is no finding {shown}",
        hint="remove this entry, or correct its place",
    )
