"""What goes wrong with the twin, said so that a person can act."""

from __future__ import annotations


class TwinError(Exception):
    """The twin cannot do it: `reason` is what was found where, `hint` what to do about it ("" = nothing)."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(f"{reason}\n{hint}" if hint else reason)
        self.reason, self.hint = reason, hint
