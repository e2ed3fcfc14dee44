"""Loader workers that repeat the draws of generators that the dataset holds.

Each worker gets a copy of them: two workers draw the same, and one started every epoch draws the same again.
"""

from __future__ import annotations

from typing import NamedTuple


class Workers(NamedTuple):
    """Number of workers, and whether they stay from epoch to epoch."""

    number: int
    stay: bool


def add_repeats(original: Workers, wanted: Workers) -> bool:
    """Return whether the wanted workers repeat draws while the script's own do not: its own choice is left alone."""
    doubled = wanted.number > 1 and original.number < 2
    again = wanted.number > 0 and not wanted.stay and (not original.number or original.stay)
    return doubled or again
