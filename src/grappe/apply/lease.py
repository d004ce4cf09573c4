"""A lock as a lease: one file on each device, made atomically, with holder and expiry, renewed while we work.

Times are the device's own clock, so that two operators need not agree on theirs.
"""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from grappe.apply.device import HOME, shell
from grappe.model.script import Answer, Command

SECONDS = 300
"""How long a lease lasts; every step renews it."""

# flock(2) is held by the open file: it ends with the process, however that ends.
_LOCKED = """\
umask 077
f=$1/lease
mkdir -p -- "$1" || exit 1
exec 9>"$1/lease.lock" && flock -w 20 9 || { echo "$1/lease.lock is held by another process" >&2; exit 1; }
{ read -r id; read -r until; read -r who; } 2>/dev/null <"$f" || id=
write() {
printf '%s\\n%s\\n%s\\n' "$2" "$(($(date +%s) + $4))" "$3" >"$f.new" && mv -f -- "$f.new" "$f"
}
"""

# $5: the id of a holder known to be dead.
_TAKE = f"""\
{_LOCKED}
if [ -n "$id" ] && [ "$id" != "$2" ] && [ "$id" != "$5" ] && [ "${{until:-0}}" -gt "$(date +%s)" ]; then
printf 'held\\n%s\\n%s\\n%s\\n' "$id" "$until" "$who"
exit 0
fi
write "$@" && printf 'taken\\n%s\\n' "$(sed -n 2p "$f")"
"""

_RENEW = f"""\
{_LOCKED}
[ "$id" = "$2" ] || {{ echo "the lease was lost to ${{who:-nobody}}" >&2; exit 1; }}
write "$@"
"""

_RELEASE = f"""\
{_LOCKED}
[ "$id" != "$2" ] || rm -f -- "$f"
"""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease: a random id, and words for people: user@host pid N."""

    id: str
    who: str


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody else's lease: until when, in seconds since 1970 by the device's clock."""

    holder: Holder
    until: int

    def __str__(self) -> str:
        end = datetime.fromtimestamp(self.until, UTC).strftime("%H:%M:%S UTC")
        return f"held by {self.holder.who} until {end}"


def myself() -> Holder:
    """Return this process as a holder, with a new id."""
    user = os.environ.get("SUDO_USER") or os.environ.get("USER") or f"uid {os.getuid()}"
    pid = os.getpid()
    return Holder(f"{secrets.token_hex(8)}.{pid}.{_started(pid)}", f"{user}@{socket.gethostname()} pid {pid}")


def is_here(holder: Holder) -> bool:
    """Whether a holder is, or was, a process of this machine."""
    return holder.who.rpartition(" pid ")[0].rpartition("@")[2] == socket.gethostname()


def is_alive(holder: Holder) -> bool:
    """Whether a holder is a process of this machine that still runs."""
    _, pid, started = (holder.id + "..").split(".")[:3]
    return is_here(holder) and pid.isdecimal() and _started(int(pid)) == started


def _started(pid: int) -> str:
    """When a process started, in clock ticks since the boot (proc(5), field 22): numbers are used again."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return "over"


def take(holder: Holder, *, instead_of: Holder | None = None, seconds: int = SECONDS) -> Command:
    """Take the lease of a device, or break it when it is expired or that of the dead `instead_of`."""
    return shell(_TAKE, HOME, holder.id, holder.who, str(seconds), instead_of.id if instead_of else "none")


def taken(answer: Answer) -> int | Held:
    """Read the answer to `take`: until when it is ours, or whose it is. ValueError for anything else."""
    match answer.out.splitlines():
        case ["taken", until]:
            return int(until)
        case ["held", id_, until, who]:
            return Held(Holder(id_, who), int(until))
    raise ValueError(answer.err.strip() or f"status {answer.status}: {answer.out.strip()}")


def renew(holder: Holder, *, seconds: int = SECONDS) -> Command:
    """Prolong a lease; fails when it is not ours any more."""
    return shell(_RENEW, HOME, holder.id, holder.who, str(seconds))


def release(holder: Holder) -> Command:
    """Give a lease back, if it is still ours."""
    return shell(_RELEASE, HOME, holder.id, check=False)
