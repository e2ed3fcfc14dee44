"""Short names of values, for lines that the whole value would overflow."""

from __future__ import annotations

LONGEST = 160
"""Most characters of a user's text, such as an error message."""


def named(text: str) -> str:
    """Return the text on one line, short, and without anything a terminal would act on."""
    line = "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def counted(count: int, word: str) -> str:
    """Return a count with its noun: 1 finding, 3 findings, no findings."""
    return f"{count or 'no'} {word}{'' if count == 1 else 's'}"
