"""What holds for every site, however wrong it is."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grappe.check import CATALOGUE, check
from grappe.check.render import to_json, to_text
from grappe.check.sarif import to_sarif
from grappe.model.finding import Severity
from grappe.model.site import Site
from pure.check_cases.random_sites import sites

pytestmark = pytest.mark.timeout(900)  # making a failing example small takes hypothesis up to five minutes

SITES = sites(tuple(CATALOGUE))


def shuffled(site: Site, seed: int) -> Site:
    """The same site, written down in another order."""
    dice = random.Random(seed)

    def mixed(mapping: dict) -> dict:
        items = list(mapping.items())
        dice.shuffle(items)
        return dict(items)

    def sample(items: tuple) -> tuple:
        return tuple(dice.sample(items, len(items)))

    hosts = {
        name: replace(
            host,
            nics=mixed(dict(host.nics)),
            attachments=sample(tuple(replace(a, networks=sample(a.networks)) for a in host.attachments)),
            addresses=sample(host.addresses),
        )
        for name, host in site.hosts.items()
    }
    switches = {name: replace(s, ports=mixed(dict(s.ports))) for name, s in site.switches.items()}
    return replace(
        site,
        fabrics=mixed(dict(site.fabrics)),
        networks=mixed(dict(site.networks)),
        port_groups=mixed(dict(site.port_groups)),
        hosts=mixed(hosts),
        switches=mixed(switches),
        vms=mixed(dict(site.vms)),
        accept=sample(site.accept),
    )


@given(SITES)
@settings(max_examples=150, deadline=None)
def test_every_finding_is_in_the_catalogue_and_can_be_shown(site: Site) -> None:
    findings = check(site)
    assert {f.code for f in findings} <= set(CATALOGUE)
    assert all(f.severity is CATALOGUE[f.code].severity and f.at and f.message for f in findings)
    text = to_text(findings, "site.yaml", lambda path: (len(path), 1))
    assert text.count("\n    at: ") == len(findings)
    assert len(json.loads(to_json(findings, "site.yaml", lambda _: None))["findings"]) == len(findings)
    assert len(json.loads(to_sarif(findings, "s.yaml", lambda _: (1, 1), "1"))["runs"][0]["results"]) == len(
        findings
    )


@given(SITES, st.integers(0, 2**16))
@settings(max_examples=150, deadline=None)
def test_the_order_of_the_declaration_does_not_matter(site: Site, seed: int) -> None:
    assert check(shuffled(site, seed)) == check(site)


@given(SITES)
@settings(max_examples=100, deadline=None)
def test_acknowledgements_hide_nothing_and_accept_no_error(site: Site) -> None:
    plain = [replace(f, accepted=None) for f in check(replace(site, accept=()))]
    known = check(site)
    found = [replace(f, accepted=None) for f in known if not f.code.startswith("accept-")]
    assert found == plain
    assert not [f for f in known if f.severity is Severity.ERROR and f.accepted is not None]
