"""Gradient noise scale from squared norms of gradients at two batch sizes.

McCandlish et al., An Empirical Model of Large-Batch Training (2018), appendix A.1: the expected squared norm of the
gradient of a batch of B samples is |G|² + tr(Σ) / B. Two sizes give both, and their ratio is the noise scale. Each is
averaged over updates before the ratio is formed, which is biased otherwise.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from ..types import NoiseScale

LEAST_UPDATES = 8
"""Updates needed for an interval."""
RESAMPLES = 1000
"""Resampled sets of updates for the interval (bootstrap)."""
BOUND = 0.025
"""Part of the resamples beyond each end."""


@dataclass(frozen=True)
class Norms:
    """Squared norms of one update's gradients."""

    small: float
    """Of a part of it."""
    small_samples: float
    large: float
    """Of the whole."""
    large_samples: float

    @property
    def gradient(self) -> float:
        """Unbiased estimate of |G|²; it may be below zero."""
        weighted = self.large_samples * self.large - self.small_samples * self.small
        return weighted / (self.large_samples - self.small_samples)

    @property
    def noise(self) -> float:
        """Unbiased estimate of tr(Σ), the variance of a single sample's gradient."""
        return (self.small - self.large) / (1 / self.small_samples - 1 / self.large_samples)


def noise_scale(rows: Sequence[Norms], *, batch_samples: float | None = None) -> NoiseScale | None:
    """Return the noise scale with its 95% interval, by resampling updates; None for too few of them.

    `batch_samples` are the samples of the script's own update, by default those of the larger batch.
    """
    rows = [row for row in rows if _is_usable(row)]
    if len(rows) < LEAST_UPDATES:
        return None
    gradients, noises = [row.gradient for row in rows], [row.noise for row in rows]
    random = Random(0)
    drawn = sorted(
        _ratio([gradients[at] for at in chosen], [noises[at] for at in chosen])
        for chosen in (random.choices(range(len(rows)), k=len(rows)) for _ in range(RESAMPLES))
    )
    value, high = _ratio(gradients, noises), drawn[math.ceil((1 - BOUND) * RESAMPLES) - 1]
    large = statistics.fmean(row.large_samples for row in rows)
    return NoiseScale(
        updates=len(rows),
        small_samples=statistics.fmean(row.small_samples for row in rows),
        large_samples=large,
        batch_samples=large if batch_samples is None else batch_samples,
        samples=value if math.isfinite(high) else None,
        low=drawn[math.floor(BOUND * RESAMPLES)],
        high=high if math.isfinite(high) else None,
    )


def rows_of(norms: dict[str, Sequence[float]]) -> list[Norms]:
    """Return the rows of what a window reported.

    The gradient after the first of k parts is a k-th of the mean over that part, or their sum is k times the mean: the
    ratio of both norms is k² too small either way.
    """
    columns = zip(
        norms.get("small", ()),
        norms.get("small_samples", ()),
        norms.get("large", ()),
        norms.get("large_samples", ()),
        strict=False,
    )
    return [
        Norms(small=small * (whole / part) ** 2, small_samples=part, large=large, large_samples=whole)
        for small, part, large, whole in columns
        if part > 0
    ]


def _ratio(gradients: Sequence[float], noises: Sequence[float]) -> float:
    gradient, noise = math.fsum(gradients), max(0.0, math.fsum(noises))
    return noise / gradient if gradient > 0 else math.inf


def _is_usable(row: Norms) -> bool:
    finite = math.isfinite(row.small) and math.isfinite(row.large)
    return finite and row.large > 0 and 0 < row.small_samples < row.large_samples
