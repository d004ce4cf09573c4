"""What ssh's complaints mean and what a person can do. The phrases are OpenSSH's own (clients 7.4 to 10)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Called:
    """How ssh was called: `by_hand` is the line a person would type, `alias` what known_hosts calls it."""

    by_hand: str
    alias: str


Advice = Callable[[re.Match[str], Called], tuple[str, str]]


def _changed(match: re.Match[str], called: Called) -> tuple[str, str]:
    where = f" (known from {match['where']})" if match["where"] else ""
    # ssh names the key as it is filed, which only it knows: the configuration may say HostKeyAlias.
    forget = ["-f", match["file"]] if match["file"] else []
    forget += ["-R", match["name"] or called.alias]
    return (
        f"ITS HOST KEY HAS CHANGED{where}: this is another machine, or somebody stands in between",
        "nothing was sent. Only if you know why, for instance because it was installed anew: compare the "
        "new key's fingerprint at its console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then "
        f"ssh-keygen {shlex.join(forget)} and connect once by hand: {called.by_hand}",
    )


def _unknown(_match: re.Match[str], called: Called) -> tuple[str, str]:
    return (
        "its host key is not known on this machine, and Grappe never accepts one unseen",
        f"grappe trust shows it and asks; or connect once by hand, {called.by_hand}, and accept it after "
        "comparing the fingerprint with the one at its console: "
        "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
    )


def _denied(match: re.Match[str], called: Called) -> tuple[str, str]:
    return (
        f"it refuses the login (it offers: {match['methods']})",
        f"Grappe asks for no passwords: install a key with ssh-copy-id, or load yours into the agent, "
        f"until this works without questions: {called.by_hand}",
    )


def _fixed(reason: str, hint: str) -> Advice:
    def advice(match: re.Match[str], called: Called) -> tuple[str, str]:
        words = {"by_hand": called.by_hand, **match.groupdict()}
        return reason.format(**words), hint.format(**words)

    return advice


_TABLE: tuple[tuple[re.Pattern[str], Advice], ...] = tuple(
    (re.compile(pattern, re.DOTALL), advice)
    for pattern, advice in (
        (
            r"IDENTIFICATION HAS CHANGED(?:.*Offending \S+ key in (?P<where>(?P<file>[^\r\n]+?):\d+)\s*\n)?"
            r"(?:.*Host key for (?P<name>\S+) has changed)?",
            _changed,
        ),
        (r"you have requested strict checking|Host key verification failed", _unknown),
        (r"Permission denied \((?P<methods>[^)]*)\)", _denied),
        (
            r"Too many authentication failures",
            _fixed(
                "it refuses the login after too many keys were tried",
                "name the right one in your ssh configuration: IdentityFile and IdentitiesOnly yes",
            ),
        ),
        (
            r"Could not resolve hostname (?P<name>\S+):",
            _fixed(
                "the name {name} does not resolve",
                "correct its access address, or add it to DNS, /etc/hosts or your ssh configuration",
            ),
        ),
        (
            r"Connection refused",
            _fixed(
                "the machine is there, but its SSH port refuses the connection",
                "is sshd running, and is this its port? {by_hand}",
            ),
        ),
        (
            # Behind ControlPersist ssh silences the proxy, and this is all that is left to read.
            r"proxy dialer did not pass back a connection|Connection closed by UNKNOWN port 65535",
            _fixed(
                "the way that your ssh configuration names (ProxyCommand, ProxyJump) did not lead to it",
                "is it switched on, and the machine on the way? {by_hand} tells more",
            ),
        ),
        (
            r"(?P<what>No route to host|Network is unreachable)",
            _fixed("there is no way to it ({what})", "is it switched on, and this machine on its network?"),
        ),
        (
            r"[Ss]erver \S+ not responding|mux_client\w*: (?:read|write)|client_loop: send disconnect"
            r"|Connection (?:to \S+ )?closed by remote host",
            _fixed(
                "the line broke in mid-conversation",
                "what it was told may be done in part: look at its state before trying again",
            ),
        ),
        (
            r"[Tt]imed out",
            _fixed(
                "it did not answer the connection in time",
                "is it switched on, and does a firewall let port 22 pass? {by_hand}",
            ),
        ),
        (
            r"kex_exchange_identification|Connection (?:closed|reset) by",
            _fixed(
                "it closed the connection before the login",
                "it may be starting, or sshd turns away too many connections (MaxStartups)",
            ),
        ),
        (
            r"(?P<what>[^\n]*Bad configuration option[^\n]*)",
            _fixed("your ssh configuration is not accepted: {what}", "correct it; {by_hand} shows the same"),
        ),
    )
)


def explain(said: str, status: int, called: Called) -> tuple[str, str]:
    """Turn ssh's error output and exit status into (reason, hint)."""
    if status == 255 and not said.strip():
        # A shared connection that died under a call: ssh ends without a word.
        said = "Connection closed by remote host"
    for pattern, advice in _TABLE:
        if match := pattern.search(said):
            return advice(match, called)
    last = said.strip().splitlines()[-1:] or ["nothing was said"]
    return f"ssh ended with status {status}: {last[0]}", f"the same by hand: {called.by_hand}"
