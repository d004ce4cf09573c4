"""What happens while a plan runs. The journal keeps these, the user interface shows them."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from typing import Any, get_type_hints

from grappe.graph.plan_json import Json


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, or is about to."""


@dataclass(frozen=True, slots=True)
class RunBegins(Event):
    """A run starts. `plan` is the whole plan in JSON's types, so that the journal alone can undo it."""

    run: str
    holder: str
    holder_id: str
    plan: Json


@dataclass(frozen=True, slots=True)
class Leased(Event):
    """A scope is ours alone until `until` (the device's clock, seconds since 1970)."""

    scope: str
    until: int


@dataclass(frozen=True, slots=True)
class Archived(Event):
    """A device's configuration was saved, on the device and, when `here` is not empty, on this machine."""

    scope: str
    there: str
    here: str


@dataclass(frozen=True, slots=True)
class StageBegins(Event):
    """A stage starts; its scopes were just seen to be as the plan expects."""

    stage: int
    guarded: bool
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StageEnds(Event):
    """A stage is done and proved."""

    stage: int


@dataclass(frozen=True, slots=True)
class StepBegins(Event):
    """A step is about to be sent to its device; `step` is its number in the stage."""

    stage: int
    step: int
    scope: str
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepDone(Event):
    """A step did what was predicted. `notes`: what else looks different than before."""

    stage: int
    step: int
    scope: str
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepFailed(Event):
    """A step did not do what was predicted, or its device was lost."""

    stage: int
    step: int
    scope: str
    reason: str


@dataclass(frozen=True, slots=True)
class Arming(Event):
    """A dead-man's timer is about to be armed; from here on the device may act by itself."""

    stage: int
    scope: str
    guard: str


@dataclass(frozen=True, slots=True)
class Armed(Event):
    """A device will undo the stage by itself in `seconds` unless told otherwise. `how`: what watches."""

    stage: int
    scope: str
    guard: str
    seconds: int
    how: str


@dataclass(frozen=True, slots=True)
class Reconnecting(Event):
    """A device is being reached anew, for up to `seconds`."""

    scope: str
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Committed(Event):
    """All devices of a guarded stage were reached anew and proved: from here on the stage stays."""

    stage: int


@dataclass(frozen=True, slots=True)
class Disarmed(Event):
    """A device's dead-man's timer is off."""

    stage: int
    scope: str


@dataclass(frozen=True, slots=True)
class GuardFired(Event):
    """A device undid the stage by itself, or was told to; `reason` is its own."""

    stage: int
    scope: str
    reason: str


@dataclass(frozen=True, slots=True)
class UndoBegins(Event):
    """A step is about to be undone."""

    stage: int
    step: int
    scope: str


@dataclass(frozen=True, slots=True)
class UndoDone(Event):
    """A step was undone and its device seen to be as before."""

    stage: int
    step: int
    scope: str


@dataclass(frozen=True, slots=True)
class UndoFailed(Event):
    """A step could not be undone; `by_hand` is the line to type at the device's console."""

    stage: int
    step: int
    scope: str
    reason: str
    by_hand: str


@dataclass(frozen=True, slots=True)
class RunEnds(Event):
    """A run is over; `outcome` is a value of `Outcome`."""

    outcome: str
    reason: str


def kind(event: type[Event]) -> str:
    """Name of an event in the journal: StepBegins is `step-begins`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", event.__name__).lower()


KINDS: dict[str, type[Event]] = {kind(event): event for event in Event.__subclasses__()}


def to_data(event: Event) -> dict[str, Any]:
    """Return an event's fields in JSON's types."""
    return asdict(event)


def from_data(name: str, data: dict[str, Any]) -> Event | None:
    """Read an event back; None for a kind that this version does not know."""
    event = KINDS.get(name)
    if event is None:
        return None
    hints = get_type_hints(event)
    known = {f.name for f in fields(event)}
    return event(
        **{
            name: tuple(value) if str(hints[name]).startswith("tuple") else value
            for name, value in data.items()
            if name in known
        }
    )
