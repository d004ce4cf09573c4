"""The dead-man's timer as text: files that lie on the device and need neither us nor a network. Pure.

A guard is a directory below /var/lib/grappe/guard. Its state is the name of one file, `armed`, which is
renamed to `disarmed` by us or to `firing` by the device: rename(2) succeeds for one of the two only, and
works on a full disk. Deadlines count the seconds of /proc/uptime, which no clock correction moves; after a
reboot (another boot id) an armed guard fires at once.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from grappe.apply.device import HOME, shell, store
from grappe.model.script import Answer, Command, Script
from grappe.model.shell import round_trip, standing

GUARDS = f"{HOME}/guard"

_WATCH = """\
#!/bin/sh
# Grappe's dead-man's timer. It puts this device back to how it was before a change to the way to it, unless
# the one who made the change comes back in time over a new connection. To put it back now:
#     sh {directory}/undo
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" LC_ALL=C; export PATH LC_ALL
d={directory}
cd / || exit 1
say() {{
line="$(date -u +%FT%TZ) guard {name}: $*"
printf '%s\\n' "$line" >>{home}/journal
printf '%s\\n' "$line" >>"$d/log"
}} 2>/dev/null
fire() {{
# Of this and a disarming only one can rename the file; $2: a guard cut off while it fired begins again.
mv -- "$d/armed" "$d/firing" 2>/dev/null || {{ [ -n "$2" ] && [ -e "$d/firing" ]; }} || exit 0
printf '%s\\n' "$1" >"$d/reason"
say "fires: $1"
# What is still changing things must not go on behind the undo.
if read -r step 2>/dev/null <"$d/running"; then
kill -s TERM -- "-$step" && sleep 1
kill -s KILL -- "-$step"
fi 2>/dev/null
if sh "$d/undo"; then end=fired; else end=failed; fi
say "$end"
mv -- "$d/firing" "$d/$end"
forget
exit 0
}}
forget() {{
[ -e "/etc/systemd/system/grappe-guard-{name}.service" ] || return
systemctl disable "grappe-guard-{name}.service"
rm -f "/etc/systemd/system/grappe-guard-{name}.service"
}} >/dev/null 2>&1
[ -e "$d/firing" ] && fire "the machine was started again while it fired" again
[ "$1" = boot ] && fire "the machine was started again before anybody disarmed it"
echo $$ >"$d/pid.new" && mv -- "$d/pid.new" "$d/pid"
read -r boot deadline <"$d/armed"
while [ -e "$d/armed" ]; do
[ "$boot" = "$(cat /proc/sys/kernel/random/boot_id)" ] ||
fire "the machine was started again before anybody disarmed it"
[ -e "$d/now" ] && fire "$(cat "$d/now")"
read -r up rest </proc/uptime
[ "${{up%.*}}" -lt "$deadline" ] || fire "nobody came back in time"
sleep 0.3 2>/dev/null || sleep 1
done
forget
"""

_BOOT = f"""\
#!/bin/sh
# To be run once at every start of a machine that has no systemd: guards that were armed when it went down.
for d in {GUARDS}/*/; do
if [ -e "$d/armed" ] || [ -e "$d/firing" ]; then sh "$d/watch" boot; fi
done
"""

_UNIT = """\
[Unit]
Description=Grappe's dead-man's timer {name}
# At a boot it must act after what would set the network up the wrong way.
After=network.target networking.service openvswitch-switch.service libvirtd.service
[Service]
ExecStart=/bin/sh {directory}/watch
Restart=on-failure
KillMode=process
[Install]
WantedBy=multi-user.target
"""

# Reloading systemd may take long: the time counts from when all is on the disk, the enabled unit included,
# so that a power cut from then on finds it at the next boot. Without `armed` the unit does nothing.
_ARM = """\
umask 077
d=$1 unit=grappe-guard-$2.service
rm -f -- "$d/pid" "$d/now"
if [ -d /run/systemd/system ]; then
how="systemd unit $unit"
cp -- "$d/unit" "/etc/systemd/system/$unit" && chmod 644 "/etc/systemd/system/$unit" &&
systemctl enable --quiet "$unit" || exit 1
else
how=process
fi
sync
read -r up rest </proc/uptime
deadline=$((${up%.*} + $3))
printf '%s %s\\n' "$(cat /proc/sys/kernel/random/boot_id)" "$deadline" >"$d/armed.new" &&
mv -- "$d/armed.new" "$d/armed" || exit 1
sync "$d/armed" "$d" 2>/dev/null || sync
if [ "$how" = process ]; then
setsid sh "$d/watch" </dev/null >/dev/null 2>&1 &
else
systemctl start --quiet "$unit" || bad=1
fi
n=0
until read -r pid 2>/dev/null <"$d/pid" && kill -0 "$pid" 2>/dev/null && [ -z "$bad" ]; do
n=$((n + 1))
if [ -n "$bad" ] || [ "$n" -gt 50 ]; then
mv -- "$d/armed" "$d/unarmed"
echo "the guard did not start (as $how)" >&2
exit 1
fi
sleep 0.1
done
printf '%s guard %s: armed for %s s\\n' "$(date -u +%FT%TZ)" "$2" "$3" >>"$4/journal"
printf 'armed\\n%s\\n%s\\n' "$3" "$how $pid"
"""

# The step outlives its connection: it has a session of its own, and its answer waits in a file.
_START = """\
umask 077
[ -e "$1/armed" ] || { echo "the guard is not armed" >&2; exit 1; }
if [ -e "$1/$2.part" ] || [ -e "$1/$2.out" ]; then exit 0; fi
: >"$1/$2.part" || exit 1
setsid sh -c '
echo $$ >"$1/running"
sh "$1/$2" </dev/null >"$1/$2.part" 2>"$1/$2.err"
mv -- "$1/$2.part" "$1/$2.out"
rm -f -- "$1/running"
' grappe "$1" "$2" </dev/null >/dev/null 2>&1 &
"""

_STATE = """\
s=lost
for n in armed firing fired failed disarmed unarmed; do
[ -e "$1/$n" ] && s=$n
done
"""

# State, reason, seconds left, and whether a step has ended; then what the step has printed.
_TELL = f"""\
{_STATE}
left=0
if read -r boot deadline 2>/dev/null <"$1/armed" && read -r up rest </proc/uptime; then
left=$((deadline - ${{up%.*}}))
fi
printf '%s\\n%s\\n%s\\n' "$s" "$(cat "$1/reason" 2>/dev/null)" "$left"
"""

_POLL = f"""\
{_TELL}
if [ -n "$2" ] && [ -e "$1/$2.out" ]; then
echo done
cat "$1/$2.out"
else
echo running
cat "$1/$2.err" 2>/dev/null
fi
exit 0
"""

_DISARM = f"""\
mv -- "$1/armed" "$1/disarmed" 2>/dev/null &&
printf '%s guard %s: disarmed\\n' "$(date -u +%FT%TZ)" "$2" >>"$3/journal"
sync "$1" 2>/dev/null
{_TELL}
if [ "$s" = disarmed ] && [ -e "/etc/systemd/system/grappe-guard-$2.service" ]; then
systemctl disable --now --quiet "grappe-guard-$2.service"
rm -f -- "/etc/systemd/system/grappe-guard-$2.service"
fi >&2
echo running
"""

_LIST = f"""\
cd "$1" 2>/dev/null || exit 0
for d in *; do
[ -e "$d/watch" ] || continue
set -- "$PWD/$d"
{_STATE}
printf '%s %s\\n' "$s" "$d"
done
"""

_FIRE = f"""\
umask 077
printf '%s\\n' "$2" >"$1/now"
{_TELL}
echo running
"""


@dataclass(frozen=True, slots=True)
class GuardState:
    """What a guard's device says.

    `state`: armed, firing, fired, failed (its undo), disarmed, unarmed (it did not start) or lost (no such
    guard). `reason`: why it fired. `left`: seconds to the deadline. `output`: what the detached step printed,
    None while it runs. `error`: what its shell complained of.
    """

    state: str
    reason: str = ""
    left: int = 0
    output: str | None = None
    error: str = ""


def name(run: str, stage: int) -> str:
    """Name of a stage's guard: the same on all its devices."""
    return f"{run}-{stage}"


def directory(guard: str) -> str:
    """Where a guard lies on its device."""
    return f"{GUARDS}/{guard}"


def by_hand(guard: str) -> str:
    """Return the line to type at the device's console to undo a guarded stage."""
    return f"sh {directory(guard)}/undo"


def watch(guard: str) -> str:
    """Render the program that waits on the device."""
    return _WATCH.format(name=guard, directory=shlex.quote(directory(guard)), home=HOME)


def arm(guard: str, undo: Script, forward: Sequence[Script], seconds: int) -> Script:
    """Store a stage's undo and its steps on the device and start the timer. `armed` reads the answers."""
    place = directory(guard)
    files = {
        f"{place}/undo": standing(undo, f"{place}/undo.log"),
        f"{place}/watch": watch(guard),
        f"{place}/unit": _UNIT.format(name=guard, directory=place),
        f"{GUARDS}/boot": _BOOT,
        **{f"{place}/step-{n}": round_trip(script) for n, script in enumerate(forward)},
    }
    # Arming flushes them to the disk, all at once.
    stored = (store(path, text, now=False) for path, text in files.items())
    return (*stored, shell(_ARM, place, guard, str(seconds), HOME))


def armed(script: Script, answers: Sequence[Answer]) -> tuple[int, str]:
    """Read the answers to `arm`: seconds to the deadline, and what watches. ValueError if not armed."""
    if len(answers) == len(script):
        match answers[-1].out.splitlines():
            case ["armed", seconds, how]:
                return int(seconds), how
    last = answers[-1] if answers else Answer(1, "")
    raise ValueError(last.err.strip() or f"status {last.status}: {last.out.strip()}")


def start(guard: str, step: int) -> Command:
    """Start a stored step, detached. Doing it twice starts it once."""
    return shell(_START, directory(guard), f"step-{step}")


def poll(guard: str, step: int | None = None) -> Command:
    """Ask for the guard's state and for a step's output."""
    return shell(_POLL, directory(guard), "" if step is None else f"step-{step}")


def disarm(guard: str) -> Command:
    """Stop the timer; the answer says whether it had fired before. Doing it twice is harmless."""
    return shell(_DISARM, directory(guard), guard, HOME)


def fire(guard: str, reason: str) -> Command:
    """Tell the device to undo the stage now, by itself: losing the line in the meantime does not matter."""
    return shell(_FIRE, directory(guard), " ".join(reason.split()))


def understand(answer: Answer) -> GuardState:
    """Read the answer to `poll`, `disarm` or `fire`. ValueError when it is none."""
    head, rest = answer.out.split("\n", 4)[:4], answer.out.split("\n", 4)[4:]
    if not rest or not head[2].removeprefix("-").isdecimal() or head[3] not in ("done", "running"):
        raise ValueError(answer.err.strip() or f"status {answer.status}: {answer.out.strip()}")
    state, reason, left, step = head
    done = step == "done"
    return GuardState(state, reason, int(left), rest[0] if done else None, "" if done else rest[0])


def listing() -> Command:
    """Ask for all guards on a device: those of other machines' runs too."""
    return shell(_LIST, GUARDS)


def listed(answer: Answer) -> dict[str, str]:
    """Read the answer to `listing`: state of each guard, by name."""
    lines = (line.partition(" ") for line in answer.out.splitlines())
    return {name: state for state, _, name in lines}
