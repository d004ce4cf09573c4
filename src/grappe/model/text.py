"""Text that a device or a file made up, before a person sees it: nothing in it steers the terminal."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_PICTURES, _DELETE = 0x2400, 0x7F


def one_line(text: str) -> str:
    """Return a name with each control character, a line's end included, as its picture (U+2400 …)."""
    return _CONTROL.sub(_picture, text)


def harmless(text: str) -> str:
    """Return lines for a terminal: ends of lines and tabs stay, other control characters are pictures."""
    return _STEERING.sub(_picture, text)


def _picture(found: re.Match[str]) -> str:
    code = ord(found.group())
    if code < 0x20:
        return chr(_PICTURES + code)
    return "\u2421" if code == _DELETE else "\ufffd"
