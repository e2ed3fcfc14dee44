"""Check, by the losses of paired processes, that a training with settings is still the baseline's.

The two processes of a pair share a seed, and each pair has its own. The band is the effect of other seeds on the
baseline's losses. The effect of the settings must stay inside it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .. import stats, wire
from ..analysis.losses import not_finite
from ..plural import plural
from ..types import Failure

PARTS = ("begin", "middle", "end")
"""Parts of the counted updates: a divergence shows late, and a mean over all would hide it."""
LEAST_UPDATES = 6
LEAST_PAIRS = 3
"""Pairs that a judgement needs: two values have no meaningful spread."""
BAND = 2.0
"""Width in standard deviations over seeds: 95% of re-runs lie within it."""
ROUNDING = 0.01
"""Share of the loss always allowed: bfloat16 keeps eight bits, so a loss computed in it is off by 0.4% by itself."""
ERROR_RATE = 0.05
"""Probability of taking a chance deviation for a real one, over all parts together."""


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Losses that one process reported, update by update."""

    first: int
    """Number of the first counted update, in updates since the process' first."""
    values: tuple[float | None, ...]
    """Loss per update; None where it is unknown or non-finite."""
    not_finite: int = 0
    not_finite_at_end: int = 0

    @classmethod
    def of(cls, window: wire.WindowDone) -> Losses:
        """Return the losses of the window's counted updates."""
        bad, at_end = window.extra.get("nan_losses", 0), window.extra.get("nan_losses_at_end", 0)
        return cls(
            first=window.dropped_updates,
            values=tuple(window.losses),
            not_finite=bad if isinstance(bad, int) else 0,
            not_finite_at_end=at_end if isinstance(at_end, int) else 0,
        )

    @property
    def failure(self) -> Failure | None:
        """Return why this training is broken; None if its losses are finite, but for a few."""
        return not_finite(self.not_finite, self.not_finite_at_end, len(self.values))


@dataclass(frozen=True, kw_only=True)
class Parity:
    quality: Literal["passed", "failed", "not checked"]
    evidence: str
    """Explanation in words, with the figures."""
    open: bool = False
    """True if more pairs may decide it."""


def judge(effect: str, pairs: Sequence[tuple[Losses, Losses]]) -> Parity:
    """Judge settings with this effect on training by (baseline, with settings) pairs, each of one seed."""
    spoilt = _not_finite(pairs)
    if spoilt is not None:
        return spoilt
    if effect == "training":
        return Parity(
            quality="not checked",
            evidence="these settings change the training: its losses differ from the baseline's, and the time to the "
            "same loss was not measured",
        )
    shared = [_shared(baseline, candidate) for baseline, candidate in pairs]
    fewest = min((len(both) for both in shared), default=0)
    if fewest < LEAST_UPDATES:
        read = any(loss is not None for baseline, _candidate in pairs for loss in baseline.values)
        few = f"the losses of {fewest} updates can be compared, and {LEAST_UPDATES} are needed: updates are too slow"
        return Parity(quality="not checked", evidence=few if read else "the script's losses could not be read")
    equal = sum(one == two for both in shared for one, two in both)
    total = sum(len(both) for both in shared)
    if equal == total:
        evidence = f"all {total} losses of {_pairs(len(pairs))} are bitwise equal to the baseline's"
        return Parity(quality="passed", evidence=evidence, open=False)
    if len(shared) < LEAST_PAIRS:
        return Parity(
            quality="not checked",
            evidence=f"{_pairs(len(shared))} measured: {LEAST_PAIRS} are needed to estimate how the losses vary by "
            "chance",
            open=True,
        )
    return _in_band(effect, shared, total - equal, total)


def _not_finite(pairs: Sequence[tuple[Losses, Losses]]) -> Parity | None:
    """Judge losses that are not finite: only of the settings, or of a training that was broken before."""
    lost = [candidate for baseline, candidate in pairs if candidate.not_finite and not baseline.not_finite]
    if lost:
        return Parity(
            quality="failed",
            evidence=f"the loss was NaN or infinite in {lost[0].not_finite} of {len(lost[0].values)} updates, and in "
            "none of the baseline",
        )
    broken = next((failure for baseline, _candidate in pairs if (failure := baseline.failure) is not None), None)
    if broken is None:
        return None
    return Parity(quality="not checked", evidence=f"without these settings, {broken.message}")


def _shared(baseline: Losses, candidate: Losses) -> list[tuple[float, float]]:
    """Return the losses of updates that both have counted."""
    first = max(baseline.first, candidate.first)
    both = zip(baseline.values[first - baseline.first :], candidate.values[first - candidate.first :], strict=False)
    return [(one, two) for one, two in both if one is not None and two is not None]


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One part of the window: effect of the settings on its mean loss, and effect of seeds."""

    name: str
    baseline: float
    candidate: float
    band: float
    noise: float
    """Deviation that chance causes between this many pairs; a larger one is real."""

    @property
    def deviation(self) -> float:
        return abs(self.candidate - self.baseline)

    @property
    def outside(self) -> bool:
        return not self.deviation <= self.band

    @property
    def text(self) -> str:
        return (
            f"mean loss {self.candidate:.4g} against {self.baseline:.4g} of the baseline, at the window's {self.name}"
        )


def _in_band(effect: str, shared: Sequence[Sequence[tuple[float, float]]], unequal: int, total: int) -> Parity:
    fewest = min(len(both) for both in shared)  # rounds may count different numbers of updates
    parts = [_part(place, [both[:fewest] for both in shared]) for place in range(len(PARTS))]
    outside = [part for part in parts if part.outside]
    real = [part for part in outside if part.deviation > part.noise]
    preface = f"{unequal} of {total} losses are not bitwise equal; " if effect == "exact" else ""
    seeds = f"{_pairs(len(shared))}, each with its own seed"
    if real:
        worst = max(real, key=lambda part: part.deviation / part.band)
        evidence = f"{worst.text}: {worst.deviation:.2g} apart, other seeds differ by {worst.band:.2g} ({seeds})"
        return Parity(quality="failed", evidence=preface + evidence)
    worst = max(parts, key=lambda part: part.deviation / part.band)
    if outside:
        evidence = (
            f"{worst.text}: {worst.deviation:.2g} apart, more than the {worst.band:.2g} by which other seeds differ, "
        )
        evidence += f"but these processes differ too much among themselves to judge it ({seeds})"
        return Parity(quality="not checked", evidence=preface + evidence, open=True)
    evidence = f"{worst.text}: {worst.deviation:.2g} apart, other seeds differ by up to {worst.band:.2g} ({seeds})"
    return Parity(quality="passed", evidence=preface + evidence)


def _part(place: int, shared: Sequence[Sequence[tuple[float, float]]]) -> _Part:
    baseline, candidate = [], []
    for both in shared:
        begin, end = (round(edge * len(both) / len(PARTS)) for edge in (place, place + 1))
        baseline.append(statistics.fmean(one for one, _two in both[begin:end]))
        candidate.append(statistics.fmean(two for _one, two in both[begin:end]))
    differences = [two - one for one, two in zip(baseline, candidate, strict=True)]
    quantile = stats.student_t_quantile(1 - ERROR_RATE / 2 / len(PARTS), len(shared) - 1)
    level = statistics.fmean(baseline)
    return _Part(
        name=PARTS[place],
        baseline=level,
        candidate=statistics.fmean(candidate),
        band=max(BAND * statistics.stdev(baseline), ROUNDING * abs(level), math.ulp(1.0)),
        noise=quantile * statistics.stdev(differences) / math.sqrt(len(shared)),
    )


def _pairs(count: int) -> str:
    return f"{plural(count, 'pair')} of processes"
