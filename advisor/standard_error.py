"""Standard error of the mean time of an update, for windows that end once they are precise; standard library only."""

from __future__ import annotations

import math
from collections.abc import Sequence

MOST_BATCHES = 20
"""Neighbouring updates are alike, so means of at most this many batches are compared (Schmeiser 1982)."""


def of_mean(values: Sequence[float]) -> float:
    """Return the standard error of the values' mean, relative to the mean; infinity for fewer than two."""
    count = len(values)
    if count < 2 or sum(values) <= 0:
        return math.inf
    batches = min(MOST_BATCHES, count)
    edges = [round(index * count / batches) for index in range(batches + 1)]
    parts = [values[edges[index] : edges[index + 1]] for index in range(batches)]
    means = [sum(part) / len(part) for part in parts]
    mean = sum(means) / batches
    variance = sum((one - mean) ** 2 for one in means) / (batches - 1)
    return math.sqrt(variance / batches) / mean
