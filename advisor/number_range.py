"""Range of the numbers that are computed with: options, constants and settings are data, and may be anything."""

from __future__ import annotations

from .errors import UsageError
from .spelling import parameter

LARGEST_NUMBER = 1e15
"""Largest value: no count, limit or price comes near it, and a float holds every whole number up to it."""


def in_range(number: float) -> bool:
    """Return whether the number is neither NaN nor larger than anything that is counted or set."""
    return abs(number) <= LARGEST_NUMBER


def out_of_range(number: float) -> str:
    """Describe a number that is not in range; one with hundreds of digits is not written out."""
    if isinstance(number, int):
        return f"more than {LARGEST_NUMBER:g}" if number > 0 else f"less than {-LARGEST_NUMBER:g}"
    return f"{number:g}"


def check_positive(**parameters: float | None) -> None:
    """Raise UsageError for a parameter that is no number above 0; None stands for one that is not given."""
    for name, value in parameters.items():
        if value is not None and not 0 < value <= LARGEST_NUMBER:
            raise UsageError(f"invalid {parameter(name, value)}: expected a number above 0, at most {LARGEST_NUMBER:g}")
