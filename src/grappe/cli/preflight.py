"""Ask hosts what they lack, and install it when that is wanted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from grappe.app import Cluster
    from grappe.check.code import Code
    from grappe.model.finding import Finding
    from grappe.transport.base import Transport

T = TypeVar("T")

INSTALL_SECONDS = 1800.0
"""The longest that a host may take to fetch and install packages."""


@dataclass(frozen=True, slots=True)
class HostReport:
    """What one host lacks; `unknown`: why it could not be asked."""

    host: str
    findings: tuple[Finding, ...] = ()
    unknown: str = ""

    @property
    def well(self) -> bool:
        """Whether Grappe can drive it."""
        return not self.unknown and not any(f.severity == "error" for f in self.findings)

    @property
    def packages(self) -> tuple[str, ...]:
        """Debian packages that would mend findings."""
        from grappe.platforms.kvm.preflight import packages

        return packages(self.findings)


def host_codes() -> Mapping[str, Code]:
    """Codes that a preflight may find, by name."""
    from grappe.check.catalogue import collect
    from grappe.platforms.kvm import preflight_codes

    return collect((preflight_codes,))


def reports(cluster: Cluster, hosts: list[str]) -> list[HostReport]:
    """Ask hosts, side by side."""
    return _side_by_side(hosts, lambda host: _report(cluster, host))


def install(cluster: Cluster, wanted: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Install packages on hosts, side by side; returns why it failed for each, empty when it worked."""
    hosts = list(wanted)
    said = _side_by_side(hosts, lambda host: _install(cluster.transports[host], wanted[host]))
    return dict(zip(hosts, said, strict=True))


def _side_by_side(hosts: list[str], work: Callable[[str], T]) -> list[T]:
    threads = ThreadPoolExecutor(max_workers=max(1, len(hosts)), thread_name_prefix="preflight")
    try:
        return list(threads.map(work, hosts))
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def _report(cluster: Cluster, host: str) -> HostReport:
    from grappe.platforms.kvm import preflight
    from grappe.transport.base import TransportError

    try:
        answers = cluster.transports[host].run(preflight.questions())
        return HostReport(host, preflight.findings(cluster.site, host, answers, time.time()))
    except TransportError as error:
        return HostReport(host, unknown=error.reason + (f" ({error.hint})" if error.hint else ""))
    except preflight.PreflightError as error:
        return HostReport(host, unknown=str(error))


def _install(transport: Transport, names: tuple[str, ...]) -> str:
    from grappe.apply.run import failure
    from grappe.platforms.kvm import preflight
    from grappe.transport.base import TransportError

    script = preflight.install(names)
    try:
        return failure(script, transport.run(script, timeout=INSTALL_SECONDS))
    except TransportError as error:
        return error.reason


def to_text(found: list[HostReport]) -> str:
    """Host by host."""
    lines = []
    for report in found:
        if report.unknown:
            lines.append(f"{report.host}: unknown: {report.unknown}")
            continue
        lines.append(f"{report.host}: {'ready' if report.well else 'NOT READY'}")
        for finding in report.findings:
            lines.append(f"  {finding.severity} {finding.code}: {finding.message}")
            lines += [f"    hint: {finding.hint}"] * bool(finding.hint)
    return "\n".join(lines)


def to_json(site: str, found: list[HostReport]) -> dict[str, Any]:
    """As plain data, format grappe/preflight/1."""
    hosts = [
        {
            "host": report.host,
            "ready": report.well,
            "unknown": report.unknown or None,
            "packages": [] if report.unknown else list(report.packages),
            "findings": [
                {
                    "code": f.code,
                    "severity": str(f.severity),
                    "message": f.message,
                    "hint": f.hint,
                    "data": dict(f.data),
                }
                for f in report.findings
            ],
        }
        for report in found
    ]
    return {"format": "grappe/preflight/1", "site": site, "ok": all(r.well for r in found), "hosts": hosts}
