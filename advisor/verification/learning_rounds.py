"""Pairs of whole trainings, as written and with settings, in turns: fresh processes, and a seed for each pair."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import INTERRUPTIONS
from ..progress import Progress
from ..types import Config, JudgedBy, LearningObjective, LearningVerdict, LossKind, TrainingRun
from .learning_verdict import ERROR_RATE, FEWEST_SEEDS, MOST_SEEDS, judge

FIRST_SEED = 1
"""Seed of the first pair. The search chose the best with another one: to be the best there is partly luck."""

Train = Callable[[Config, int, int], TrainingRun]
"""(settings, updates, seed) → the training."""


@dataclass(frozen=True, kw_only=True)
class Side:
    config: Config
    updates: int
    """Updates that take the horizon's time with these settings."""


@dataclass(frozen=True, kw_only=True)
class Verified:
    verdict: LearningVerdict
    interrupted: BaseException | None = None


def verify_learning(
    train: Train,
    baseline: Side,
    candidate: Side,
    *,
    loss: LossKind,
    objective: LearningObjective,
    horizon_s: float | None,
    budget_s: float,
    progress: Progress,
    same_pace: bool = False,
    judged_by: JudgedBy = "end",
    clock: Callable[[], float] = time.monotonic,
) -> Verified:
    """Train both sides with three seeds at least, and with two more if that decides nothing and the time allows it.

    `horizon_s` is a fixed time at which the losses are compared; None compares the whole trainings. `same_pace`: an
    update takes as long on both sides. `judged_by` is that of the search. An interruption ends it: the verdict is that
    of the pairs until then.
    """
    begin_s = clock()
    pairs: list[tuple[TrainingRun, TrainingRun]] = []
    interrupted: BaseException | None = None
    verdict = judge(pairs, loss=loss, objective=objective)
    progress.stage("verifying in fresh processes", windows=2 * FEWEST_SEEDS)
    try:
        for number in range(MOST_SEEDS):
            if number >= FEWEST_SEEDS:
                pair_s = (clock() - begin_s) / number
                if verdict.status != "undecided" or clock() - begin_s + pair_s > budget_s:
                    break
            pairs.append(_pair(train, baseline, candidate, number, progress))
            verdict = judge(
                pairs,
                loss=loss,
                objective=objective,
                horizon_s=horizon_s,
                confidence=1 - _error(number + 1),
                same_pace=same_pace,
                judged_by=judged_by,
            )
    except INTERRUPTIONS as interruption:
        interrupted = interruption
    return Verified(verdict=verdict, interrupted=interrupted)


def _pair(
    train: Train, baseline: Side, candidate: Side, number: int, progress: Progress
) -> tuple[TrainingRun, TrainingRun]:
    """Train both sides; every other pair in the other order, so that a drift of the machine meets both."""
    runs = {}
    sides = [("baseline", baseline), ("candidate", candidate)]
    for name, side in sides if number % 2 == 0 else sides[::-1]:
        runs[name] = train(side.config, side.updates, FIRST_SEED + number)
        progress.window_done()
    return runs["baseline"], runs["candidate"]


def _error(pairs: int) -> float:
    """Return the error rate that a check after so many pairs may spend: the first three, each later one its own."""
    return ERROR_RATE * (FEWEST_SEEDS if pairs <= FEWEST_SEEDS else 1) / MOST_SEEDS
