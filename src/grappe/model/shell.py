"""Scripts as POSIX sh text: what a device's shell is really given, and how its answers are read back.

Two renderings. A round trip runs a script over one connection and frames every answer by byte lengths, so
that answers may hold anything. A standing script lies on a device and undoes a stage without us. Every word
goes through single quotes (POSIX.1-2017, XCU 2.2.2): nothing in it is ever expanded.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from itertools import accumulate, pairwise

from grappe.model.script import Answer, Command, Script

OUTPUT_LIMIT = 32 << 20
"""Bytes of one output that a round trip sends back at most."""

_OPENING = b"grappe-answers 1\n"
_CLOSING = b"grappe-end\n"

# Non-interactive logins often lack sbin; messages are read by programs, so they come untranslated.
_ENVIRONMENT = 'PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" LC_ALL=C; export PATH LC_ALL'

# In memory, for a full disk must not keep a device from being repaired. /run is, except in some containers,
# and belongs to one device alone, which /dev/shm in the containers of one machine may not.
_PRIVATE_DIRECTORY = """\
gt=/dev/shm
[ "$(stat -f -c %T /run 2>/dev/null)" = tmpfs ] && gt=/run
for gt in $gt /dev/shm /run "${TMPDIR:-/tmp}"; do
gd=$(mktemp -d "$gt/grappe.XXXXXXXXXX" 2>/dev/null) && break
gd=
done
[ -n "$gd" ] || { echo "no private directory can be made in /dev/shm, /run or $gt" >&2; exit 97; }
trap 'rm -rf "$gd"' EXIT
trap 'exit 98' HUP INT TERM PIPE
gs= gf="""

# Sizes are taken once: a daemon that a command left behind may still be writing to its output.
_SEND = """\
ga() {{
cd "$gd" || exit 96
set --
[ -z "$gf" ] || set -- $(wc -c $gf)
printf '%s\\n' "{opening}" "$gs" "$*"
while [ $# -ge 2 ] && [ "$2" != total ]; do
gn=$1
[ "$gn" -le {limit} ] || gn={limit}
[ "$gn" -eq 0 ] || head -c "$gn" "$2"
shift 2
done
echo {closing}
exit 0
}}"""


class RoundTripError(ValueError):
    """What came back is not a whole answer, or one that was cut short on purpose."""


def quoted(argv: Sequence[str]) -> str:
    """Words for a POSIX shell to see as they stand. ValueError for what no program can be called with."""
    if not argv or not argv[0] or argv[0].startswith("-"):
        raise ValueError(f"a command begins with the name of a program, found {list(argv[:1])!r}")
    if any("\0" in word for word in argv):
        raise ValueError(f"a word of a command cannot hold a NUL byte: {argv[0]}")
    return shlex.join(argv)


def round_trip(script: Script, *, limit: int = OUTPUT_LIMIT) -> str:
    """Render a script for `sh -s`; what that prints is read by `parse_round_trip`.

    It stops after the first checked command that fails. All is one function, called on the last line: a
    script that was cut off on its way is not run at all. `limit` is in bytes per output.
    """
    lines = ["gm() {", _ENVIRONMENT, _PRIVATE_DIRECTORY]
    for number, command in enumerate(script):
        lines.append(_call(command, f'>"$gd/o{number}" 2>"$gd/e{number}"'))
        after = "; [ $gx -eq 0 ] || ga" if command.check else ""
        lines.append(f'gx=$?; gs="$gs $gx" gf="$gf o{number} e{number}"' + after)
    send = _SEND.format(opening=_OPENING.decode().strip(), closing=_CLOSING.decode().strip(), limit=limit)
    return "\n".join([send, *lines, "ga", "}", "gm", ""])


def _call(command: Command, redirection: str) -> str:
    # `exec` in a subshell finds programs only: never a builtin or function of the same name.
    call = f"(exec {quoted(command.argv)})"
    if not command.stdin:
        return f"{call} </dev/null {redirection}"
    if "\0" in command.stdin:
        raise ValueError(f"the standard input of {command.argv[0]} cannot hold a NUL byte")
    # A pipe from a builtin: unlike a here-document it needs no file and adds no newline.
    return f"printf %s {shlex.quote(command.stdin)} 2>/dev/null | {call} {redirection}"


def parse_round_trip(data: bytes, *, limit: int = OUTPUT_LIMIT) -> tuple[Answer, ...]:
    """Read what a round trip printed; anything before it, such as a login's greeting, is skipped.

    Raises RoundTripError when it is not complete, or when a command printed more than `limit` bytes; an
    error output, which only people read, is cut there instead.
    """
    _, opening, rest = data.partition(_OPENING)
    if not opening:
        raise RoundTripError("no answer came back")
    statuses, _, rest = rest.partition(b"\n")
    counts, _, rest = rest.partition(b"\n")
    codes = [int(word) for word in statuses.split()]
    sizes = _sizes(counts.decode("ascii").split())
    if len(sizes) != 2 * len(codes):
        raise RoundTripError("the answer broke off before its first output")
    _too_long(sizes[::2], limit)
    bounds = [0, *accumulate(min(size, limit) for size in sizes)]
    if rest[bounds[-1] :] != _CLOSING:
        raise RoundTripError(f"the answer broke off: {len(rest)} of {bounds[-1] + len(_CLOSING)} bytes came")
    texts = [rest[a:b].decode("utf-8", "surrogateescape") for a, b in pairwise(bounds)]
    return tuple(Answer(*answer) for answer in zip(codes, texts[::2], texts[1::2], strict=True))


def _sizes(words: Sequence[str]) -> list[int]:
    return [int(size) for size, name in zip(words[::2], words[1::2], strict=True) if name != "total"]


def _too_long(sizes: Sequence[int], limit: int) -> None:
    for number, size in enumerate(sizes, start=1):
        if size > limit:
            raise RoundTripError(f"command {number} printed {size} bytes, more than the {limit} allowed")


_STANDING = """\
#!/bin/sh
# Made by Grappe. Puts this device back to how it was. By hand: sh THIS_FILE. Running it twice is harmless.
{environment}
# On a terminal its output is for the person there; a log that cannot be opened must not stop the undo.
if [ ! -t 1 ]; then
if (: >>{log}) 2>/dev/null; then exec >>{log} 2>&1; else exec >/dev/null 2>&1; fi
fi
gf=0
gr() {{
[ "$1" -eq 0 ] && return
printf '%s\\n' "status $1: $3"
[ "$2" -eq 0 ] || gf=1
}}
printf '%s\\n' "undo begins, $(date)"
{calls}
printf '%s\\n' "undo ended, $(date): $([ $gf -eq 0 ] && echo complete || echo INCOMPLETE)"
exit $gf
"""


def standing(script: Script, log: str) -> str:
    """Render a script as a file that stands alone on a device: an undo.

    It runs every command whatever became of those before it, writes what it did to the file `log` (to the
    terminal when there is one) and exits non-zero if a checked command failed.
    """
    calls = "\n".join(
        f"{_call(command, '')}; gr $? {int(command.check)} {shlex.quote(quoted(command.argv))}"
        for command in script
    )
    return _STANDING.format(environment=_ENVIRONMENT, log=shlex.quote(log), calls=calls)
