"""A learning rate with which the parameters cannot get anywhere within the training."""

from __future__ import annotations

import statistics

from ..types import Evidence, LearningFacts, LossTrend
from ._base import Example, Hit, Judgement, Rule
from ._learning import example, few_losses, learning, main, one_loss, undecided, warms_up
from ._read import percent

LEAST_LOSSES = 60
"""Losses needed to tell a steady fall from one that slows down."""
LEAST_MEASURED = 3
"""Updates whose size was measured."""
MOST_MOVED = 0.05
"""Sum of all planned updates, relative to the parameters, below which they stay where they began even if every update
points the same way. Random initial weights must move by about their own size; fine-tuning by AdamW at 2e-5, with
weights of 0.05, comes to 0.4 in 1,000 updates."""
SMALL = 1e-6
"""Size of an update from which the length of the training does not matter: 50,000 of these come to MOST_MOVED."""
STEADY = 0.5
"""Part of the early slope that the late one keeps while a loss falls steadily."""


def judge(evidence: Evidence) -> Judgement:
    trend, facts = evidence.losses, learning(evidence)
    moved = statistics.median(facts.moved) if facts.moved else 0.0
    why = _why_undecided(facts, moved)
    if warms_up(evidence):
        return None
    if why is not None:
        return undecided(why)
    planned = facts.planned_updates
    if planned is None or moved * planned >= MOST_MOVED:
        return None
    why = few_losses(trend, LEAST_LOSSES)
    if trend is None or why is not None:
        return undecided(why or "")
    return _hit(evidence, trend, moved, planned) if _is_steady(trend) else None


def _why_undecided(facts: LearningFacts, moved: float) -> str | None:
    if len(facts.moved) < LEAST_MEASURED:
        return f"the size of {len(facts.moved)} updates was measured, and {LEAST_MEASURED} are needed"
    if facts.planned_updates is None and moved < SMALL:
        return "updates are small, and the script's loops do not say how many of them it plans"
    return None


def _hit(evidence: Evidence, trend: LossTrend, moved: float, planned: int) -> Hit:
    optimizer = main(evidence)
    rate = optimizer.learning_rate if optimizer is not None else None
    given = f" at a learning rate of {rate:g}" if rate is not None else ""
    return Hit(
        severity="warning",
        evidence=f"An update changes the parameters by {moved:.1e} of their size{given}, so all {planned:,} planned "
        f"ones together change them by {percent(moved * planned)} at most. The loss falls steadily, from "
        f"{trend.start:.4g} "
        f"to {trend.end:.4g} so far.",
        advice="Try ten times the rate, and compare the losses after as many updates.",
    )


def _is_steady(trend: LossTrend) -> bool:
    return trend.late_high < 0 and trend.late_slope <= STEADY * trend.early_slope < 0


RULE = Rule(
    id="lr_too_low",
    title="a learning rate that is too low",
    headline="trains with a learning rate that gets nowhere",
    looks_at="The change of some parameters in some updates, relative to their size, the planned number of updates, "
    "and the slopes of the loss.",
    thresholds=("LEAST_LOSSES", "LEAST_MEASURED", "MOST_MOVED", "SMALL", "STEADY"),
    source="The ratio of updates to weights in Stanford's CS231n notes, of about 1e-3; Smith, Cyclical Learning Rates "
    "(2017), on rates at which the loss falls slowly.",
    url="https://cs231n.github.io/neural-networks-3/#ratio",
    knobs=("learning_rate",),
    needs_updates=False,
    applies=one_loss,
    judge=judge,
    examples=(
        Example(
            name="updates of a millionth, for 10,000 updates",
            evidence=example(facts={"moved": (1e-6,) * 6}, trend={"late_slope": -0.008, "late_high": -0.006}),
            fires=True,
        ),
        Example(
            name="plain SGD at 1e-6",
            evidence=example(
                facts={"moved": (4e-8,) * 4, "planned_updates": 300_000},
                trend={"late_slope": -0.010, "late_high": -0.008},
            ),
            fires=True,
        ),
        Example(name="updates of a thousandth", evidence=example(), fires=False),
        Example(
            name="small updates at the end of a training, where the loss is flat",
            evidence=example(facts={"moved": (1e-6,) * 6}, trend={"late_slope": 0.0, "late_high": 0.001}),
            fires=False,
        ),
        Example(
            name="the rate is still warming up",
            evidence=example(facts={"moved": (1e-6,) * 6, "first_rate": 1e-8, "largest_rate": 3e-4}),
            fires=False,
        ),
        Example(
            name="two updates measured",
            evidence=example(facts={"moved": (1e-8,) * 2}),
            fires="abstains",
        ),
        Example(
            name="larger updates in a training of unknown length",
            evidence=example(facts={"moved": (1e-5,) * 6, "planned_updates": None}),
            fires=False,
        ),
        Example(
            name="small updates in a training of unknown length",
            evidence=example(facts={"moved": (1e-7,) * 6, "planned_updates": None}),
            fires="abstains",
        ),
    ),
)
