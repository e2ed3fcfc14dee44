"""Evaluation takes a large part of the loop."""

from __future__ import annotations

from ..types import Ceiling, Evidence
from ._base import Example, Hit, Judgement, Rule
from ._examples import healthy_cpu, healthy_cuda, line
from ._read import beside_share, line_places, percent

MIN_EVALUATION_SHARE = 0.20
"""Three times an ordinary share: a validation set of a fifth of the data, seen once an epoch without backward, takes
about 7%."""
MANY_SHARE = 0.5
"""Share from which the script evaluates more than it trains."""


def judge(evidence: Evidence) -> Judgement:
    share = beside_share(evidence, "evaluation")
    if share is None or share < MIN_EVALUATION_SHARE:
        return None
    return Hit(
        share=share,
        severity="critical" if share >= MANY_SHARE else "warning",
        evidence=f"Evaluation takes {percent(share)} of the loop's time.",
        advice="Evaluate less often, or on part of the validation set; use larger batches (no activations are stored) "
        "and `torch.inference_mode()`.",
        where=line_places(sorted((x for x in evidence.lines if x.phase == "evaluation"), key=lambda x: -x.share)),
        ceiling=Ceiling.from_share(share),
    )


RULE = Rule(
    id="evaluation_heavy",
    title="evaluation takes a large part of the loop",
    headline="spends {share} of its time in evaluation",
    looks_at="The wall time of forward passes without gradients between updates and at the end of an epoch, relative "
    "to an epoch of the script's own length.",
    thresholds=("MIN_EVALUATION_SHARE", "MANY_SHARE"),
    source="Published tools see outlier steps without naming the cause; here evaluation is a separate phase.",
    judge=judge,
    examples=(
        Example(
            name="validation after every fifth update, 60% of the loop",
            evidence=healthy_cpu(
                off_step={"evaluation": 0.6}, lines=(line("torch", 0.5, phase="evaluation", function="validate"),)
            ),
            fires=True,
        ),
        Example(
            name="two minutes at the end of epochs of 50 s",
            evidence=healthy_cuda(epoch_end={"seconds": {"evaluation": 120.0}}),
            fires=True,
        ),
        Example(name="1.5 s at the end of epochs of 50 s", evidence=healthy_cpu(), fires=False),
        Example(name="12% of the loop", evidence=healthy_cpu(off_step={"evaluation": 0.12}), fires=False),
    ),
)
