"""A learning rate that is too high: the loss rises, leaps, or swings from update to update."""

from __future__ import annotations

from ..types import Evidence, LossTrend
from ._base import Example, Hit, Judgement, Rule
from ._examples import healthy_cpu, train_loader
from ._learning import SIGNIFICANT, example, few_losses, learning, main, one_loss, undecided

LEAST_LOSSES = 60
"""Losses needed: in fewer, a hard batch decides."""
MIN_RISE = 0.1
"""Part of the first losses by which the last must be higher: harder batches and stronger augmentation raise it less."""
MIN_SPIKES = 3
"""Bursts from which they are no single bad batch."""
LEAST_ALTERNATION = -0.35
"""Correlation of neighbouring losses from which they swing. Independent batches give 0, and 60 of them rarely -0.26."""
EXPLODED = 5.0
"""Factor over the loss of the first update, with random weights, from which the model was thrown far away."""
BROKEN = 2
"""Losses that are not finite; a loss scaler's search for its scale is left out."""


def judge(evidence: Evidence) -> Judgement:
    trend = evidence.losses
    why = few_losses(trend, LEAST_LOSSES)
    if trend is None or (why is not None and trend.non_finite < BROKEN):
        return undecided(why or "")
    signs = _signs(evidence, trend)
    if not signs:
        return None
    optimizer = main(evidence)
    rate = optimizer.learning_rate if optimizer is not None else None
    return Hit(
        severity="warning" if _is_grave(evidence, trend) else "info",
        evidence=f"The loss {', and it '.join(signs)}" + (f", at a learning rate of {rate:g}." if rate else "."),
        advice="Try a third of the rate, a warm-up, or "
        + ("a lower limit of the clipping" if learning(evidence).clip_limit is not None else "`clip_grad_norm_`")
        + ", and compare the losses. Bad batches show the same, at the same places in every epoch.",
    )


def _signs(evidence: Evidence, trend: LossTrend) -> list[str]:
    found = []
    if trend.non_finite >= BROKEN and not evidence.workload.flags.grad_scaler:
        found.append(f"was not finite in {trend.non_finite} updates")
    if _rises(trend):
        found.append(f"rose from {trend.start:.4g} to {trend.end:.4g} in {trend.last - trend.first + 1:,} updates")
    if _exploded(evidence, trend):
        found.append(f"rose to {trend.highest:.4g} from {learning(evidence).first_loss:.4g} in the first update")
    if trend.spikes >= MIN_SPIKES:
        found.append(f"leapt {trend.spikes} times far above its trend, up to {trend.highest:.4g}")
    if trend.alternation is not None and trend.alternation <= LEAST_ALTERNATION and not _may_repeat(evidence):
        found.append(f"swings from update to update (correlation of neighbours {trend.alternation:.2f})")
    return found


def _may_repeat(evidence: Evidence) -> bool:
    """Return whether workers may deliver the same batch in turn, whose second loss is lower at any rate."""
    loader = evidence.workload.train_loader
    return loader is not None and loader.iterable and loader.num_workers > 1


def _rises(trend: LossTrend) -> bool:
    rise = trend.end - trend.start
    return rise > SIGNIFICANT * trend.error and rise > MIN_RISE * abs(trend.start) and trend.late_high > 0


def _exploded(evidence: Evidence, trend: LossTrend) -> bool:
    first = learning(evidence).first_loss
    return first is not None and 0 < EXPLODED * first < trend.highest


def _is_grave(evidence: Evidence, trend: LossTrend) -> bool:
    return (
        _rises(trend)
        or _exploded(evidence, trend)
        or (trend.non_finite >= BROKEN and not evidence.workload.flags.grad_scaler)
    )


RULE = Rule(
    id="lr_too_high",
    title="a learning rate that is too high",
    headline="trains with a loss that does not settle",
    looks_at="The losses of the script's own updates: their rise, bursts above a running median, the correlation of "
    "neighbours, and losses that are not finite.",
    thresholds=("LEAST_LOSSES", "MIN_RISE", "MIN_SPIKES", "LEAST_ALTERNATION", "EXPLODED", "BROKEN", "SIGNIFICANT"),
    source="Cohen et al., Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability (2021); PaLM "
    "(2022), 5.1, on spikes that other batches do not show.",
    knobs=("learning_rate", "lr_schedule"),
    needs_updates=False,
    applies=one_loss,
    judge=judge,
    examples=(
        Example(
            name="a loss that doubles",
            evidence=example(trend={"start": 2.1, "end": 4.4, "late_slope": 0.02, "late_low": 0.01, "late_high": 0.03}),
            fires=True,
        ),
        Example(
            name="a first update that threw the model away",
            evidence=example(trend={"start": 900.0, "highest": 70_000.0}, facts={"first_loss": 2.3}),
            fires=True,
        ),
        Example(name="five bursts", evidence=example(trend={"spikes": 5, "highest": 60.0}), fires=True),
        Example(name="a loss that swings", evidence=example(trend={"alternation": -0.6}), fires=True),
        Example(name="seven losses that are not finite", evidence=example(trend={"non_finite": 7}), fires=True),
        Example(
            name="workers of a stream that deliver each batch twice",
            evidence=healthy_cpu(
                workload={"loaders": (train_loader(iterable=True),)}, losses={"alternation": -0.7, "updates": 200}
            ),
            fires=False,
        ),
        Example(name="two bursts", evidence=example(trend={"spikes": 2, "highest": 9.0}), fires=False),
        Example(name="a loss that falls", evidence=example(), fires=False),
        Example(
            name="a rise within the noise",
            evidence=example(trend={"start": 2.1, "end": 2.2, "error": 0.05, "late_high": 0.001}),
            fires=False,
        ),
        Example(name="thirty losses", evidence=example(trend={"updates": 30}), fires="abstains"),
    ),
)
