"""Objectives of a search (speed, memory, energy or money), and the score of a configuration by each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import UsageError
from ..spelling import parameter
from ..types import LearningObjective, Objective, Ratio, TrialOutcome
from ..unknown_name import UnknownNameError

Name = Literal["throughput", "memory", "energy", "cost"]
NAMES: tuple[str, ...] = get_args(Name)
BY_LOSS: tuple[str, ...] = get_args(LearningObjective)
"""Objectives of another search, whose trials are whole trainings."""
Prospect = Literal["lost", "open", "won"]
"""Prospect of a configuration beside the best so far: it cannot be better, a long trial must decide, or it is
better."""
TOLERANCE = 0.05
"""Fraction of the speed that a smaller peak of memory may cost unless the user says otherwise."""
UNITS: dict[str, str] = {
    "throughput": "samples/s",
    "memory": "bytes at the peak",
    "energy": "joules per sample",
    "cost": "price per million samples",
}
SAMPLES = 1_000_000
SECONDS_AN_HOUR = 3600.0
BY_A_HAIR = 0.02
"""Approximate scatter of the peaks and energies of windows: anything worse by more will not win."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """An objective with its parameters; `of` builds it from the user's options."""

    name: Name = "throughput"
    tolerance: float = TOLERANCE
    """`memory`: the fraction of the speed that may be lost."""
    price_per_hour: float | None = None
    """`cost`: price of the machine per hour."""

    @classmethod
    def of(cls, name: str, *, price: float | None = None, tolerance: str | float | None = None) -> Goal:
        """Create a goal; raise UsageError for an unknown name and for an option that does not apply to it."""
        if name in BY_LOSS:
            raise UsageError(f"{parameter('objective', name)} is judged by a loss: use advisor.tune_learning()")
        if name not in NAMES:
            raise UnknownNameError(f"unknown objective {name!r}", NAMES, name=name)
        if name == "cost" and price is None:
            raise UsageError(
                f"{parameter('objective', name)} needs {parameter('price')}, the price of the machine per hour"
            )
        if name != "cost" and price is not None:
            raise UsageError(_misplaced("price", price, "cost"))
        if name != "memory" and tolerance is not None:
            raise UsageError(_misplaced("tolerance", tolerance, "memory"))
        if price is not None and not (0 < price < math.inf):
            raise UsageError(f"invalid {parameter('price', price)}: expected the price of an hour, more than 0")
        kept = TOLERANCE if tolerance is None else fraction_of(tolerance)
        return cls(name=_NAMED[name], tolerance=kept, price_per_hour=price)

    def score(self, ratio: Ratio | None, own: TrialOutcome, baseline: TrialOutcome) -> float | None:
        """Return how many times better than the baseline it is; None if the needed value was not measured."""
        match self.name:
            case "throughput" | "cost":
                # Settings do not change the price of an hour: a speed-up lowers the cost by the same factor.
                return ratio.speedup if ratio is not None else None
            case "memory":
                return _times_less(own.peak_bytes, baseline.peak_bytes)
            case "energy":
                return _times_less(own.joules_per_sample, baseline.joules_per_sample)

    def too_slow(self, ratio: Ratio) -> float:
        """Return by how much (log) it breaks the bound on speed; 0 or less is within."""
        return math.log(1 - self.tolerance) - math.log(ratio.speedup) if self.name == "memory" else -1.0

    def admits(self, ratio: Ratio) -> bool:
        return self.too_slow(ratio) <= 0

    def prospect(self, ratio: Ratio, score: float | None, *, best: float, best_low: float) -> Prospect:
        """Return the verdict of a short trial beside the best so far.

        `best` is the best score, and `best_low` the lower end of its speed-up (0 if there is none).
        """
        if self.name in ("throughput", "cost"):
            if ratio.high <= max(1.0, best_low):
                return "lost"
            return "won" if ratio.low > max(1.0, best) else "open"
        if self.name == "memory" and ratio.high < 1 - self.tolerance:
            return "lost"
        return "open" if score is not None and score > max(1.0, best) * (1 - BY_A_HAIR) else "lost"

    def value(self, outcome: TrialOutcome) -> float | None:
        """Return the outcome's value in the objective's unit."""
        match self.name:
            case "throughput":
                return outcome.samples_per_s
            case "memory":
                return None if outcome.peak_bytes is None else float(outcome.peak_bytes)
            case "energy":
                return outcome.joules_per_sample
            case "cost":
                if not outcome.samples_per_s or self.price_per_hour is None:
                    return None
                return self.price_per_hour / SECONDS_AN_HOUR / outcome.samples_per_s * SAMPLES

    def objective(self, baseline: TrialOutcome | None, score: float | None) -> Objective:
        """Describe the objective for the result; `score` is that of the recommended configuration."""
        value = self.value(baseline) if baseline is not None else None
        best = None
        if value is not None and score:
            best = value * score if self.name == "throughput" else value / score
        return Objective(name=self.name, unit=UNITS[self.name], baseline=value, best=best)


_NAMED: dict[str, Name] = {"throughput": "throughput", "memory": "memory", "energy": "energy", "cost": "cost"}


def _misplaced(name: str, value: object, objective: str) -> str:
    return f"{parameter(name, value)} applies only to {parameter('objective', objective)}"


def fraction_of(text: str | float) -> float:
    """Return 0.05 for "5%", "0.05" or 0.05; raise UsageError for anything that is not a fraction of a whole."""
    word = str(text).strip()
    try:
        value = float(word.removesuffix("%")) / (100 if word.endswith("%") else 1)
    except ValueError:
        value = math.nan
    if not 0 <= value < 1:
        raise UsageError(f"invalid {parameter('tolerance', text)}: expected a fraction of the speed such as 5% or 0.05")
    return value


def _times_less(own: float | None, baseline: float | None) -> float | None:
    return baseline / own if own and baseline else None
