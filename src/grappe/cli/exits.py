"""Exit statuses. `grappe --help` and docs/cli.md tell them."""

from __future__ import annotations

OK = 0
"""All is well."""

FOUND = 1
"""Something was found, refused, left out or failed; the output says what."""

BAD_INPUT = 2
"""The command line, the declaration or another file cannot be used; no device was asked."""

INTERRUPTED = 130
"""Ctrl-C (128 + SIGINT)."""

TERMINATED = 143
"""SIGTERM (128 + SIGTERM)."""

WORDS = (
    "Exit status: 0 all is well; 1 something was found, refused, left out or failed; 2 wrong use or a file"
    " that cannot be used; 130 Ctrl-C; 143 SIGTERM."
)
