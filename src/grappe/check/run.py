"""The table of concerns, and the one way through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from grappe.check import (
    addressing,
    bonds,
    cabling,
    capacity,
    lockout,
    loops,
    macs,
    mtu,
    naming,
    paths,
    places,
    registered,
    spof,
    vlans,
)
from grappe.check.accept import acknowledge
from grappe.check.catalogue import CATALOGUE
from grappe.check.view import View
from grappe.model.finding import Finding, Severity
from grappe.model.site import Site

Concern = Callable[[View], Iterator[Finding]]
"""What each module of this room offers: all findings of one concern."""

CONCERNS: tuple[Concern, ...] = (
    addressing.findings,
    macs.findings,
    cabling.findings,
    vlans.findings,
    paths.findings,
    mtu.findings,
    bonds.findings,
    loops.findings,
    spof.findings,
    lockout.findings,
    capacity.findings,
    registered.findings,
    naming.findings,
)

_RANK = {Severity.ERROR: 0, Severity.RISK: 1, Severity.WARNING: 2, Severity.INFO: 3}


def check(site: Site) -> tuple[Finding, ...]:
    """All findings over a site, the gravest first, then by place; accepted ones carry their reason.

    The order does not depend on the order of the declaration. Takes time linear in the size of the site, but
    for sorting.
    """
    view = View(site)
    found = [finding for concern in CONCERNS for finding in concern(view)]
    return tuple(sorted(acknowledge(site, found, CATALOGUE), key=_order))


def _order(finding: Finding) -> tuple[object, ...]:
    place = tuple(places.natural(str(step)) for step in finding.at)
    related = tuple(places.show(path) for path in finding.related)
    return (_RANK[finding.severity], place, finding.code, finding.message, related)


def blocking(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Findings that stop plan and apply: the errors."""
    return tuple(finding for finding in findings if finding.severity is Severity.ERROR)
