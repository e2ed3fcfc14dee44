"""Which workers of a loader repeat the draws of generators that its dataset holds.

Each worker gets a copy of them: two workers draw the same, and one that is started every epoch draws the same again.
"""

from __future__ import annotations

from typing import NamedTuple


class Workers(NamedTuple):
    """How many there are, and whether they stay from epoch to epoch."""

    number: int
    stay: bool


def add_repeats(written: Workers, wanted: Workers) -> bool:
    """Whether the workers wanted repeat draws, and those that the script has do not: its own choice stays its own."""
    doubled = wanted.number > 1 and written.number < 2
    again = wanted.number > 0 and not wanted.stay and (not written.number or written.stay)
    return doubled or again
