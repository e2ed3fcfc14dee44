"""Successive halving: many short trainings, fewer long ones, each with its whole schedule scaled to its length.

Short horizons favour small rates and early decays (Wu et al. 2018). The first rung is therefore no shorter than a
ninth, each rung keeps a third, and two candidates at least are trained to the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...verification.learning_verdict import FEWEST_SEEDS

KEPT = 3
"""One of so many candidates goes on to the next rung, which is as many times as long (Jamieson & Talwalkar 2016)."""
MOST_RUNGS = 3
LEAST_RUNG = 40
"""Updates of the shortest rung: below, the smoothed loss is that of a handful of batches."""
CANDIDATES = 14
"""Candidates of the first rung: the expert's, and about as many sampled."""
FEWEST_CANDIDATES = 4
AT_THE_END = 2
"""Candidates that are trained over the whole horizon."""


@dataclass(frozen=True, kw_only=True)
class Rung:
    number: int
    updates: int
    """Updates of the script as written; as much time has each candidate."""
    candidates: int
    last: bool


@dataclass(frozen=True, kw_only=True)
class Plan:
    rungs: tuple[Rung, ...]
    search_s: float
    verification_s: float

    @property
    def trainings(self) -> int:
        return sum(rung.candidates for rung in self.rungs)

    def __str__(self) -> str:
        lengths = ", ".join(f"{rung.candidates} over {rung.updates:,}" for rung in self.rungs)
        return f"trainings to try: {lengths} updates; about {_minutes(self.search_s + self.verification_s)} to go"


def plan_of(
    *,
    updates: int,
    horizon_s: float,
    start_s: float,
    budget_s: float | None,
    verify: bool,
    between_evaluations: int | None = None,
    together: int = 1,
    rests: bool = False,
) -> Plan:
    """Plan the rungs of a horizon of `updates` that take `horizon_s`, and `start_s` to start.

    With `between_evaluations`, every rung ends behind an evaluation. A budget lowers the number of candidates. Up to
    `together` trainings run side by side in all rungs but the last. Where the loss of the script `rests` over its
    horizon, all trainings are as long: over a part of it, what trains less loses less, and the smallest rate is best.
    """
    lengths = [updates]
    while not rests and len(lengths) < MOST_RUNGS and lengths[0] // KEPT >= max(LEAST_RUNG, between_evaluations or 0):
        lengths.insert(0, _at_evaluation(lengths[0] / KEPT, between_evaluations))
    verification_s = 2 * FEWEST_SEEDS * (start_s + horizon_s) if verify else 0.0
    for count in range(CANDIDATES, FEWEST_CANDIDATES - 1, -1):
        rungs = _rungs(lengths, count)
        search_s = sum(
            math.ceil(rung.candidates / (1 if rung.last else together))
            * (start_s + horizon_s * rung.updates / max(1, updates))
            for rung in rungs
        )
        if budget_s is None or search_s + verification_s <= budget_s:
            break
    return Plan(rungs=rungs, search_s=search_s, verification_s=verification_s)


def _rungs(lengths: list[int], count: int) -> tuple[Rung, ...]:
    rungs = []
    for number, updates in enumerate(lengths):
        is_last = number == len(lengths) - 1
        kept = count if number == 0 else max(AT_THE_END, math.ceil(count / KEPT**number))
        kept = min(kept, AT_THE_END) if is_last and number else kept
        rungs.append(Rung(number=number, updates=updates, candidates=kept, last=is_last))
    return tuple(rungs)


def _at_evaluation(updates: float, between: int | None) -> int:
    return round(updates) if not between else max(1, round(updates / between)) * between


def _minutes(seconds: float) -> str:
    return f"{max(1, round(seconds / 10)) * 10} s" if seconds < 120 else f"{round(seconds / 60)} min"
