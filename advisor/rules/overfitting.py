"""The evaluation's loss rises while the training's falls."""

from __future__ import annotations

import math

from ..types import EvaluationLoss, Evidence
from ._base import Example, Hit, Judgement, Rule
from ._learning import example, fell, learning, one_loss, undecided
from ._read import percent

LEAST_EVALUATIONS = 4
"""Evaluations needed: the lowest, and three after it that are all higher."""
LATER = 3
"""Evaluations after the lowest that must all be above it."""
STANDARD_ERRORS = 2.0
"""Standard errors of a mean that they must be above by. Evaluations see the same samples, so this is strict."""
MIN_RISE = 0.03
"""Rise over the lowest loss below which it is the usual wavering."""
WARNING_RISE = 0.15
"""Rise from which the model that is saved at the end is much worse than the one that was there before."""


def judge(evidence: Evidence) -> Judgement:
    trend, seen = evidence.losses, _of_the_script(evidence)
    if not seen:
        return None
    if len(seen) < LEAST_EVALUATIONS:
        return undecided(f"{len(seen)} evaluations were seen, and {LEAST_EVALUATIONS} are needed")
    if trend is None or not fell(trend):
        return None
    lowest = min(range(len(seen)), key=lambda index: seen[index].loss)
    best, later = seen[lowest], seen[lowest + 1 :]
    rise = seen[-1].loss / best.loss - 1 if best.loss > 0 else 0.0
    if len(later) < LATER or rise < MIN_RISE or not all(_above(each, best) for each in later[-LATER:]):
        return None
    return Hit(
        severity="warning" if rise >= WARNING_RISE else "info",
        evidence=f"The evaluation's loss rose from {best.loss:.4g} after {best.updates:,} updates to "
        f"{seen[-1].loss:.4g} after {seen[-1].updates:,} ({percent(rise)} more), while the training's fell from "
        f"{trend.start:.4g} to "
        f"{trend.end:.4g}.",
        advice="Keep the model of the lowest evaluation, and end the training soon after it. More data, augmentation, "
        "dropout or weight decay let it go on.",
    )


def _of_the_script(evidence: Evidence) -> list[EvaluationLoss]:
    """Return the evaluations before any window that changed the training."""
    trend = evidence.losses
    last = trend.last + 1 if trend is not None else 0
    return [each for each in learning(evidence).evaluations if each.updates <= last]


def _above(later: EvaluationLoss, best: EvaluationLoss) -> bool:
    error = math.hypot(later.error or 0.0, best.error or 0.0) / math.sqrt(2)
    return later.loss - best.loss > STANDARD_ERRORS * error


def _evaluations(*losses: float) -> dict[str, object]:
    return {
        "evaluations": tuple(
            EvaluationLoss(updates=25 * number, loss=loss, batches=20, error=0.004)
            for number, loss in enumerate(losses, start=1)
        )
    }


RULE = Rule(
    id="overfitting",
    title="the evaluation's loss rises while the training's falls",
    headline="fits its training data at the expense of its evaluation",
    looks_at="Losses of torch's functions under `no_grad` while a model is evaluated, or of a model's output, and the "
    "trend of the training's loss.",
    thresholds=("LEAST_EVALUATIONS", "LATER", "STANDARD_ERRORS", "MIN_RISE", "WARNING_RISE"),
    source="Prechelt, Early Stopping, But When? (1998).",
    knobs=("early_stopping", "weight_decay"),
    needs_updates=False,
    applies=one_loss,
    judge=judge,
    examples=(
        Example(
            name="a third higher than the lowest",
            evidence=example(facts=_evaluations(1.9, 1.5, 1.2, 1.3, 1.45, 1.6)),
            fires=True,
        ),
        Example(name="a little higher", evidence=example(facts=_evaluations(1.3, 1.2, 1.22, 1.24, 1.26)), fires=True),
        Example(name="still falling", evidence=example(facts=_evaluations(1.9, 1.5, 1.3, 1.2, 1.15)), fires=False),
        Example(name="wavering", evidence=example(facts=_evaluations(1.3, 1.2, 1.21, 1.19, 1.2, 1.21)), fires=False),
        Example(name="no evaluation recognised", evidence=example(), fires=False),
        Example(name="two evaluations", evidence=example(facts=_evaluations(1.3, 1.6)), fires="abstains"),
        Example(
            name="the training's loss does not fall either",
            evidence=example(facts=_evaluations(1.9, 1.5, 1.2, 1.3, 1.45, 1.6), trend={"end": 4.0}),
            fires=False,
        ),
    ),
)
