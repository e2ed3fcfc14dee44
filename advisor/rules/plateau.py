"""A loss that no longer falls, with most of the training still to come."""

from __future__ import annotations

from ..types import Evidence, LossTrend
from ._base import Example, Hit, Judgement, Rule
from ._learning import example, fell, few_losses, learning, one_loss, part_seen, undecided, warms_up
from ._read import percent

LEAST_LOSSES = 100
"""Losses needed: fewer leave the slope of the later half open."""
LEAST_SEEN = 0.05
"""Part of the planned training below which a flat loss is a phase of its beginning."""
MOST_SEEN = 0.5
"""Part of it above which not much is still to come."""
FLAT = 0.05
"""Part of the fall so far that the later half may still have fallen by; of the loss itself where it has never fallen,
a tenth of that."""


def judge(evidence: Evidence) -> Judgement:
    trend = evidence.losses
    why = few_losses(trend, LEAST_LOSSES)
    if trend is None or why is not None:
        return undecided(why or "")
    if not _is_flat(trend) or warms_up(evidence):
        return None
    seen = part_seen(evidence, trend)
    if seen is None:
        return undecided("the loss is flat, and the script's loops do not say how long it trains")
    if not LEAST_SEEN <= seen <= MOST_SEEN:
        return None
    planned = learning(evidence).planned_updates or 0
    before = f"fell from {trend.start:.4g} and has" if fell(trend) else "has"
    return Hit(
        severity="info",
        evidence=f"The loss {before} stayed at {trend.end:.4g} within its noise of {trend.noise:.2g} over the later "
        f"half of {trend.updates:,} updates, and {percent(1 - seen)} of the planned {planned:,} are still to come.",
        advice=(
            "Lower the rate now (a decay, or `ReduceLROnPlateau`), and end the training early if the loss stays."
            if fell(trend)
            else "Look whether gradients reach the model at all, and try other learning rates: nothing was learnt."
        ),
    )


def _is_flat(trend: LossTrend) -> bool:
    """Return whether the most that the later half may have fallen by is little."""
    half = (trend.last - trend.first + 1) / 2
    most = max(0.0, -trend.late_low) * half
    if fell(trend):
        return trend.late_high >= 0 and most <= FLAT * (trend.start - trend.end)
    return most <= FLAT / 10 * abs(trend.end)


def _within(low: float) -> dict[str, float]:
    return {"late_slope": 0.0, "late_low": low, "late_high": -low}


RULE = Rule(
    id="plateau",
    title="a loss that no longer falls",
    headline="trains on although its loss is flat",
    looks_at="The slope of the loss over the later half of the updates seen, with its interval, and the length of the "
    "training by its loops.",
    thresholds=("LEAST_LOSSES", "LEAST_SEEN", "MOST_SEEN", "FLAT"),
    source="Prechelt, Early Stopping, But When? (1998). It concerns the number of updates, and is never a warning.",
    url="https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ReduceLROnPlateau.html",
    knobs=("learning_rate", "lr_schedule", "early_stopping"),
    needs_updates=False,
    applies=one_loss,
    judge=judge,
    examples=(
        Example(
            name="flat after a fifth of the training",
            evidence=example(
                trend={
                    "last": 2_000,
                    "first": 0,
                    "updates": 2_000,
                    "late_slope": 0.0,
                    "late_low": -5e-5,
                    "late_high": 5e-5,
                }
            ),
            fires=True,
        ),
        Example(
            name="a loss that never fell",
            evidence=example(
                trend={
                    "last": 1_500,
                    "first": 0,
                    "updates": 1_500,
                    "end": 4.0,
                    "late_slope": 0.0,
                    "late_low": -1e-5,
                    "late_high": 1e-5,
                }
            ),
            fires=True,
        ),
        Example(name="a loss that falls", evidence=example(trend={"last": 2_000, "updates": 2_000}), fires=False),
        Example(
            name="flat at the end of the training",
            evidence=example(
                trend={
                    "last": 9_000,
                    "first": 0,
                    "updates": 2_000,
                    "late_slope": 0.0,
                    "late_low": -1e-6,
                    "late_high": 1e-6,
                }
            ),
            fires=False,
        ),
        Example(
            name="a slope that may be anything",
            evidence=example(
                trend={
                    "last": 2_000,
                    "first": 0,
                    "updates": 2_000,
                    "late_slope": 0.0,
                    "late_low": -1e-2,
                    "late_high": 1e-2,
                }
            ),
            fires=False,
        ),
        Example(name="eighty losses", evidence=example(trend={"updates": 80}), fires="abstains"),
    ),
)
