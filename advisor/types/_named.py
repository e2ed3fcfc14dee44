"""How a value names itself in a line where all of it would fill the screen."""

from __future__ import annotations

LONGEST = 160
"""Characters of a text of the user's, such as the message of an error."""


def named(text: str) -> str:
    """On one line, short, and with nothing that a terminal would act on."""
    line = "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def counted(count: int, word: str) -> str:
    """1 finding, 3 findings, no findings."""
    return f"{count or 'no'} {word}{'' if count == 1 else 's'}"
