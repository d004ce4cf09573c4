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

# A link is made by one process only (POSIX link()). An expired lease is moved aside first, and only what
# was really expired, or the dead holder's ($5), is thrown away: two who break it at once cannot both win.
_TAKE = """\
umask 077
f=$1/lease
mkdir -p -- "$1" || exit 1
u=$(($(date +%s) + $4))
printf '%s\\n%s\\n%s\\n' "$2" "$u" "$3" >"$f.$2" || { rm -f -- "$f.$2"; exit 1; }
n=0
until ln -- "$f.$2" "$f" 2>/dev/null; do
{ read -r id; read -r until; read -r who; } 2>/dev/null <"$f" || id=
[ "$id" = "$2" ] && break
if [ -n "$id" ] && [ "$id" != "$5" ] && [ "${until:-0}" -gt "$(date +%s)" ]; then
rm -f -- "$f.$2"
printf 'held\\n%s\\n%s\\n%s\\n' "$id" "$until" "$who"
exit 0
fi
n=$((n + 1))
[ "$n" -le 5 ] || { rm -f -- "$f.$2"; echo "the lease $f can be neither made nor broken" >&2; exit 1; }
if mv -- "$f" "$f.broken.$2" 2>/dev/null; then
read -r got <"$f.broken.$2" || got=
[ "$got" = "$id" ] || ln -- "$f.broken.$2" "$f" 2>/dev/null
rm -f -- "$f.broken.$2"
fi
done
rm -f -- "$f.$2"
printf 'taken\\n%s\\n' "$u"
"""

_RENEW = """\
umask 077
f=$1/lease
read -r id 2>/dev/null <"$f" || id=
[ "$id" = "$2" ] || { echo "the lease was lost to $(sed -n 3p "$f" 2>/dev/null || echo nobody)" >&2; exit 1; }
printf '%s\\n%s\\n%s\\n' "$2" "$(($(date +%s) + $4))" "$3" >"$f.$2" && mv -f -- "$f.$2" "$f"
"""

_RELEASE = """\
read -r id 2>/dev/null <"$1/lease" || exit 0
if [ "$id" = "$2" ]; then rm -f -- "$1/lease"; fi
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
