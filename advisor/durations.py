"""Durations as users write them."""

from __future__ import annotations

import re

from .errors import UsageError

LEAST_BUDGET_S = 5.0
"""Shortest budget of a search or a verification."""
LONGEST_BUDGET_S = 366 * 86400.0
_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds_of(text: str | float, *, least_s: float = LEAST_BUDGET_S, name: str = "budget") -> float:
    """Return the seconds in "90", "90s", "1.5m" or "1h"; raise UsageError for other text or less than `least_s`.

    `name` is the time's own, for the error.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([smh]?)\s*", str(text))
    if match is None:
        raise UsageError(f"invalid {name} {text!r}: expected a duration such as 90s, 10m or 1h")
    seconds = float(match[1]) * _UNITS_S[match[2]]
    if seconds < least_s:
        raise UsageError(f"a {name} of {seconds:g} s is too short: use {least_s:g} s or more")
    if seconds > LONGEST_BUDGET_S:
        raise UsageError(f"a {name} of {seconds:g} s is too long: use a year or less")
    return seconds
