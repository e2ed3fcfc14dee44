"""Evaluation takes a large part of the loop."""

from __future__ import annotations

from ..types import Ceiling, Evidence
from ._base import Example, Hit, Judgement, Rule, Undecided
from ._evaluation import evaluating, has_specific_cause
from ._examples import healthy_cpu, healthy_cuda, line
from ._read import line_places
from ._trend_examples import evaluation

MIN_EVALUATION_SHARE = 0.20
"""Three times an ordinary share: a validation set of a fifth of the data, seen once an epoch without backward, takes
about 7%."""
MIN_SURE_SHARE = 0.10
"""Lower end of the share's interval below which it may as well be an ordinary one."""
MANY_SHARE = 0.5
"""Share from which the script evaluates more than it trains."""


def judge(evidence: Evidence) -> Judgement:
    found = evaluating(evidence)
    if found is None or found.high < MIN_EVALUATION_SHARE or has_specific_cause(evidence):
        return None
    if found.low < MIN_SURE_SHARE:
        return Undecided(why=f"{found.words}, which is too uncertain; measure longer")
    share = found.share
    if share < MIN_EVALUATION_SHARE:
        return None
    return Hit(
        share=share,
        severity="critical" if share >= MANY_SHARE else "warning",
        evidence=f"{found.words}.",
        advice="Evaluate less often, or on part of the validation set; use larger batches (no activations are stored) "
        "and `torch.inference_mode()`.",
        where=line_places(sorted((x for x in evidence.lines if x.phase == "evaluation"), key=lambda x: -x.share)),
        ceiling=Ceiling.from_share(share, high=found.high),
    )


RULE = Rule(
    id="evaluation_heavy",
    title="evaluation takes a large part of the loop",
    headline="spends {share} of its time in evaluation",
    looks_at="The wall time from the first forward pass without gradients until the training continues, between "
    "updates and at the ends of epochs, relative to an epoch of the script's own length. Rollouts of reinforcement "
    "learning, and evaluations whose cause another rule names, are left out.",
    thresholds=("MIN_EVALUATION_SHARE", "MIN_SURE_SHARE", "MANY_SHARE"),
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
        Example(
            name="one evaluation in a window that might have held none",
            evidence=healthy_cpu(evaluation=evaluation(seconds=2.0, share=0.25, low=0.0, high=0.5, count=1)),
            fires="abstains",
        ),
        Example(
            name="rollouts with the model in evaluation mode",
            evidence=healthy_cpu(
                off_step={"evaluation": 0.6}, workload={"loaders": (), "facts": {"environment": True}}
            ),
            fires=False,
        ),
        Example(name="1.5 s at the end of epochs of 50 s", evidence=healthy_cpu(), fires=False),
        Example(name="12% of the loop", evidence=healthy_cpu(off_step={"evaluation": 0.12}), fires=False),
    ),
)
