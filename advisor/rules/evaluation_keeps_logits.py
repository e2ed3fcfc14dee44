"""Evaluation keeps the model's whole outputs until its end."""

from __future__ import annotations

from ..types import Ceiling, Evidence, Place
from ._base import Example, Hit, Judgement, Rule, severity_of
from ._evaluation import evaluating, spent_on_outputs
from ._examples import healthy_cpu, healthy_cuda
from ._read import line_places, percent
from ._trend_examples import evaluation

MIN_KEPT_SHARE = 0.05
"""Share of the loop in evaluations outside the model and its loader, from which it is reported."""


def judge(evidence: Evidence) -> Judgement:
    found, rest = evaluating(evidence), spent_on_outputs(evidence)
    if found is None or found.share * rest < MIN_KEPT_SHARE:
        return None
    share = found.share * rest
    return Hit(
        share=share,
        severity=severity_of(share, least="warning"),
        evidence=f"{found.words}; {percent(rest)} of it goes to collecting the model's outputs, which are kept whole, "
        "and to the metrics computed of them.",
        advice=_advice(evidence),
        where=_where(evidence),
        ceiling=Ceiling.from_share(share, low=found.low * rest / 2, high=found.high * rest),
    )


def _advice(evidence: Evidence) -> str:
    if evidence.workload.framework == "transformers":
        return (
            "Pass `preprocess_logits_for_metrics=lambda logits, labels: logits.argmax(-1)` to the Trainer, so that it "
            "gathers the classes and not all logits (`compute_metrics` then receives them)."
        )
    return (
        "Reduce each batch's outputs before you keep them (`output.argmax(-1).cpu()`), or add up the metric batch by "
        "batch."
    )


def _where(evidence: Evidence) -> tuple[Place, ...]:
    at = evidence.workload.facts.metrics_at
    if at is not None:
        return (Place(file=at[0], line=at[1], function=at[2]),)
    return line_places(sorted((x for x in evidence.lines if x.phase == "evaluation"), key=lambda x: -x.share))


_KEEPS = {"facts": {"evaluation_keeps_outputs": True}}

RULE = Rule(
    id="evaluation_keeps_logits",
    title="evaluation keeps the model's whole outputs",
    headline="spends {share} of its time on outputs that its evaluation keeps whole",
    looks_at="Whether the outputs of evaluating calls are still alive some calls later, or a Trainer gathers them for "
    "its metrics, and the evaluations' time outside the model and the wait for data.",
    thresholds=("MIN_KEPT_SHARE", "MIN_REST", "WARNING_SHARE"),
    source="Reports of evaluations that fill the memory and take longer than training: transformers#12878, #15466.",
    url="https://huggingface.co/docs/transformers/main_classes/trainer",
    judge=judge,
    examples=(
        Example(
            name="a Trainer gathers logits over a vocabulary of 9,000",
            evidence=healthy_cpu(
                workload={**_KEEPS, "framework": "transformers"},
                evaluation=evaluation(seconds=3.0, share=0.55, forward_fraction=0.3, wait_fraction=0.02),
            ),
            fires=True,
        ),
        Example(
            name="outputs in a list, concatenated at the end",
            evidence=healthy_cuda(workload=_KEEPS, evaluation=evaluation(seconds=6.0, share=0.2, forward_fraction=0.4)),
            fires=True,
        ),
        Example(
            name="small outputs, kept at no cost",
            evidence=healthy_cpu(workload=_KEEPS, evaluation=evaluation(seconds=6.0, share=0.4, forward_fraction=0.9)),
            fires=False,
        ),
        Example(
            name="metrics take long, and no outputs are kept",
            evidence=healthy_cpu(evaluation=evaluation(seconds=6.0, share=0.4, forward_fraction=0.3)),
            fires=False,
        ),
        Example(
            name="3% of the loop",
            evidence=healthy_cpu(workload=_KEEPS, evaluation=evaluation(seconds=1.0, share=0.06, forward_fraction=0.3)),
            fires=False,
        ),
    ),
)
