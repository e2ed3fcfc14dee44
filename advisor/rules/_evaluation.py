"""Evaluations beside the updates: their share of the loop, and what makes them long.

`evaluation_batch_small`, `evaluation_keeps_logits` and `evaluation_heavy` share this: the specific causes are tried
first, and `evaluation_heavy` is what is left.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..types import EvaluationUse, Evidence, LoaderFacts
from ._base import clamp
from ._read import beside_share, percent

UNKNOWN_WIDTH = 0.3
"""Relative half-width of the share's interval where the evaluations were not told apart."""
MIN_BATCH_RATIO = 4
"""Training batch relative to the evaluation's from which the latter is small: twice the size gains little."""
MIN_REST = 0.25
"""Part of the evaluations' time outside the model and the wait for data from which what is kept is the cause."""
MOST_OF_IT = 0.4
"""Part of the evaluations' time that a specific cause explains, from which doing less of it is not the advice."""


@dataclass(frozen=True, kw_only=True)
class Evaluating:
    """Share of the evaluations in the loop's wall time, with its interval."""

    share: float
    low: float
    high: float
    use: EvaluationUse | None

    @property
    def words(self) -> str:
        interval = f" ({percent(self.low)}–{percent(self.high)})"
        base = f"Evaluation takes {percent(self.share)}{interval} of the loop's time"
        if self.use is None:
            return base
        return f"{base} ({self.use.count} seen)" if self.use.count > 1 else f"{base} (one seen)"


def evaluating(evidence: Evidence) -> Evaluating | None:
    """Return the evaluations' share; None if there are none, or if they are rollouts of reinforcement learning."""
    if evidence.workload.facts.environment and not evaluation_loaders(evidence):
        return None
    use = evidence.evaluation
    if use is not None:
        return Evaluating(share=use.share, low=use.low, high=use.high, use=use)
    share = beside_share(evidence, "evaluation")
    if not share:
        return None
    return Evaluating(share=share, low=share * (1 - UNKNOWN_WIDTH), high=clamp(share * (1 + UNKNOWN_WIDTH)), use=None)


def evaluation_loaders(evidence: Evidence) -> tuple[LoaderFacts, ...]:
    return tuple(loader for loader in evidence.workload.loaders if loader.role == "evaluation")


def small_loader(evidence: Evidence) -> LoaderFacts | None:
    """Return the evaluation's loader whose batches are far smaller than the training's; None if none is."""
    train = evidence.workload.train_loader
    if train is None or train.batch_size is None:
        return None
    found = [loader for loader in evaluation_loaders(evidence) if loader.batch_size]
    small = [loader for loader in found if (loader.batch_size or 0) * MIN_BATCH_RATIO <= train.batch_size]
    return min(small, key=lambda loader: loader.batch_size or 0, default=None)


def saved_by_batches(evidence: Evidence) -> float:
    """Return the part of the evaluations' time that batches as large as the training's save; 0 if not known.

    A sample then takes as long as in the training's forward, which stores activations besides. Its loading stays.
    """
    loader, use, steps = small_loader(evidence), evidence.evaluation, evidence.steps
    if loader is None or use is None or not loader.length_samples or not steps.samples_per_update or use.seconds <= 0:
        return 0.0
    forward_s = evidence.phases.get("forward", 0.0) * steps.mean_s / steps.samples_per_update
    after_s = loader.length_samples * forward_s + (use.wait_fraction or 0.0) * use.seconds
    return clamp(1 - after_s / use.seconds)


def spent_on_outputs(evidence: Evidence) -> float:
    """Return the part of the evaluations' time beside the model and its loader; 0 if no outputs are kept."""
    use = evidence.evaluation
    if use is None or use.forward_fraction is None or not evidence.workload.facts.evaluation_keeps_outputs:
        return 0.0
    rest = clamp(1 - use.forward_fraction - (use.wait_fraction or 0.0))
    return rest if rest >= MIN_REST else 0.0


def has_specific_cause(evidence: Evidence) -> bool:
    """Return whether a cause that can be mended explains much of the evaluations' time."""
    return max(saved_by_batches(evidence), spent_on_outputs(evidence)) >= MOST_OF_IT
