"""What Grappe keeps on a device, below /var/lib/grappe: undo scripts, its part of the journal, a lease.

Everything here is a fixed program text with values as arguments or on standard input; pure.
"""

from __future__ import annotations

from grappe.model.script import Command, Script, command
from grappe.model.shell import standing

HOME = "/var/lib/grappe"

_STORE = """\
umask 077
mkdir -p -- "${1%/*}" && cat >"$1.new" && mv -f -- "$1.new" "$1"
"""

# Written to the disk before its name changes: a power cut leaves the old file or the new one, whole.
_STORE_NOW = """\
umask 077
mkdir -p -- "${1%/*}" && cat >"$1.new" && { sync "$1.new" 2>/dev/null || sync; } && mv -f -- "$1.new" "$1"
"""

_NOTE = """\
umask 077
mkdir -p -- "${1%/*}" && printf '%s %s\\n' "$(date -u +%FT%TZ)" "$2" >>"$1"
"""

# The running script's shell is our parent. Its start time tells it from a later process of the same number.
# Of a step that begins and its undo, whose line may have been quicker, the lock lets one be first. A step
# that comes after its whole run is over finds the lease gone.
_BEGIN = """\
umask 077
mkdir -p -- "$1" && exec 9>"$1/begin.lock" && flock 9 || exit 1
[ ! -e "$2.off" ] || { echo "it is being undone already" >&2; exit 1; }
read -r id 2>/dev/null <"$1/lease" && [ "$id" = "$3" ] || { echo "its run is over already" >&2; exit 1; }
printf '%s %s\\n' "$PPID" "$(cut -d' ' -f22 /proc/$PPID/stat)" >"$1/running"
"""

_QUIET = """\
umask 077
if mkdir -p -- "${2%/*}" && exec 9>"$1/begin.lock" && flock 9; then : >"$2.off"; exec 9>&-; fi
read -r pid start 2>/dev/null <"$1/running" || exit 0
n=0
runs() {
read -r line 2>/dev/null <"/proc/$pid/stat" || return 1
set -- ${line##*) }
[ "$1" != Z ] && [ "${20}" = "$start" ]
}
while runs; do
n=$((n + 1))
[ "$n" -le "$3" ] || { echo "process $pid, the step that was cut off, still runs after $3 s"; exit 1; }
sleep 1
done
"""

_FORGET = """\
rm -rf -- "$1/undo/$2" "$1/running"
for d in "$1/guard/$2"-*; do
if [ -e "$d/disarmed" ]; then rm -rf -- "$d"; fi
done
rmdir "$1/undo" "$1/guard" 2>/dev/null
exit 0
"""


def shell(text: str, *words: str, stdin: str = "", check: bool = True) -> Command:
    """Build the call of a fixed sh program; `words` are its $1, $2, …"""
    return command("sh", "-c", text, "grappe", *words, stdin=stdin, check=check)


def store(path: str, text: str, *, now: bool = True) -> Command:
    """Write a file, mode 0600, whole or not at all; with `now` it is on the disk before the answer comes."""
    return shell(_STORE_NOW if now else _STORE, path, stdin=text)


def note(text: str) -> Command:
    """Add a line to the device's own part of the journal."""
    return shell(_NOTE, f"{HOME}/journal", text, check=False)


def undo_path(run: str, stage: int, step: int) -> str:
    """Where the undo script of a step lies on its device."""
    return f"{HOME}/undo/{run}/{stage}-{step}"


def by_hand(run: str, stage: int, step: int) -> str:
    """Return the line to type at the device's console to undo a step."""
    return f"sh {undo_path(run, stage, step)}"


def prelude(run: str, holder: str, stage: int, step: int, undo: Script) -> Script:
    """What goes before a step in the same round trip: its undo is on the device before it begins.

    `holder` is the id in the lease: without it, the step does not begin.
    """
    path = undo_path(run, stage, step)
    return (
        store(path, standing(undo, f"{path}.log")),
        note(f"{run} stage {stage} step {step} begins; undo: {by_hand(run, stage, step)}"),
        shell(_BEGIN, HOME, path, holder),
    )


def quiet(run: str, stage: int, step: int, seconds: int) -> Command:
    """Keep a step from beginning, or wait for it to end: it may still be running although its line is lost.

    Status 1 if it goes on for more than `seconds`.
    """
    return shell(_QUIET, HOME, undo_path(run, stage, step), str(seconds))


def forget(run: str) -> Command:
    """Remove what a run left on the device, except guards that are not disarmed."""
    return shell(_FORGET, HOME, run, check=False)
