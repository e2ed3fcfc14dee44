"""Reading the evidence on the learning itself. Shared by the rules on rates, losses and gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..types import Evidence, LearningFacts, LossTrend, OptimizerFacts
from ._base import Undecided
from ._examples import healthy_cpu

SIGNIFICANT = 4.0
"""Standard errors from which a change of the loss is no noise: many rules look at many scripts."""
MOST_NAMES = 3


def one_loss(evidence: Evidence) -> bool:
    """Return whether the loss is that of one model in training: of players against each other, and of rollouts, a loss
    says little about progress."""
    stepping = [each for each in evidence.workload.optimizers if each.steps_per_update > 0]
    return len(stepping) == 1 and not evidence.workload.facts.environment and main(evidence) is not None


def main(evidence: Evidence) -> OptimizerFacts | None:
    return evidence.workload.main_optimizer


def learning(evidence: Evidence) -> LearningFacts:
    return evidence.workload.learning


def undecided(why: str) -> Undecided:
    """Return that the rule cannot judge, for this reason; no time of the loop is at stake."""
    return Undecided(why=why, most_share=0.0)


def fell(trend: LossTrend) -> bool:
    """Return whether the loss has fallen beyond its noise."""
    return trend.start - trend.end > SIGNIFICANT * trend.error


def warms_up(evidence: Evidence) -> bool:
    """Return whether the learning rate is still on its way up."""
    facts, optimizer = learning(evidence), main(evidence)
    rates = (facts.first_rate, facts.largest_rate, optimizer.learning_rate if optimizer is not None else None)
    if any(rate is None for rate in rates):
        return False
    first, largest, now = (rate or 0.0 for rate in rates)
    return now > first and now >= largest


def part_seen(evidence: Evidence, trend: LossTrend) -> float | None:
    """Return the part of the planned training that the losses cover; None if its length is not known."""
    planned = learning(evidence).planned_updates
    return (trend.last + 1) / planned if planned else None


def few_losses(trend: LossTrend | None, least: int) -> str | None:
    """Return why there are too few losses; None if there are enough."""
    count = trend.updates if trend is not None else 0
    if count >= least:
        return None
    return f"{count or 'too few'} losses of the script's own updates were seen, and {least} are needed"


def names_of(names: Sequence[str]) -> str:
    """Return the first names, in words."""
    shown = [f"`{name}`" for name in names if name][:MOST_NAMES]
    more = len(names) - len(shown)
    if not shown:
        return f"{more} tensors"
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def example(
    *, trend: dict[str, Any] | None = None, facts: dict[str, Any] | None = None, optimizer: Any = None
) -> Evidence:
    """Return healthy evidence with changes in the losses, the facts on learning, and the main optimizer."""
    workload: dict[str, Any] = {"learning": facts or {}}
    if optimizer is not None:
        workload["optimizers"] = (optimizer,)
    return healthy_cpu(workload=workload, losses=trend or {})
