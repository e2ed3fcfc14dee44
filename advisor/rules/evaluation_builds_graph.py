"""The evaluation runs with gradients on, and stores what a backward would need."""

from __future__ import annotations

from ..types import Ceiling, Evidence
from ._base import Example, Hit, Judgement, Rule, severity_of
from ._evaluation import evaluating
from ._examples import healthy_cpu, healthy_cuda
from ._read import line_places
from ._trend_examples import evaluation

SAVES = 0.15
"""Part of the evaluation's time that is promised: a small convolutional network took 15% longer with its graph."""
SAVES_MOST = 0.4
"""Largest part of it, for models of many small operators, each of which makes a node of the graph."""
MIN_SHARE = 0.02
"""Share of the loop in evaluations below which it is not reported."""


def judge(evidence: Evidence) -> Judgement:
    found = evaluating(evidence)
    if found is None or found.share < MIN_SHARE:
        return None
    return Hit(
        share=found.share,
        severity=severity_of(SAVES * found.share),
        evidence=f"{found.words}, and runs with gradients on: it builds the graph of a backward that never comes, and "
        "keeps activations in memory.",
        advice="Put it under `with torch.inference_mode():`, or `torch.no_grad()`; memory then allows larger batches "
        "in it, too.",
        where=line_places(sorted((x for x in evidence.lines if x.phase == "evaluation"), key=lambda x: -x.share)),
        ceiling=Ceiling.from_share(SAVES * found.share, high=SAVES_MOST * found.high),
    )


def _builds(evidence: Evidence) -> bool:
    learning = evidence.workload.learning
    return learning is not None and learning.evaluates_with_gradients


_BUILDS = {"learning": {"evaluates_with_gradients": True}}

RULE = Rule(
    id="evaluation_builds_graph",
    title="evaluation with gradients on",
    headline="evaluates with gradients on",
    looks_at="Calls of the trained model in evaluation mode with gradients on, after which training goes on without a "
    "backward, and their share of the loop.",
    thresholds=("SAVES", "SAVES_MOST", "MIN_SHARE", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="torch's notes on autograd: `no_grad` and inference mode skip recording; `eval()` does not.",
    url="https://docs.pytorch.org/docs/stable/notes/autograd.html#locally-disabling-gradient-computation",
    applies=_builds,
    judge=judge,
    examples=(
        Example(
            name="half of the loop",
            evidence=healthy_cpu(workload=_BUILDS, evaluation=evaluation(seconds=2.0, share=0.5, low=0.45, high=0.55)),
            fires=True,
        ),
        Example(
            name="a short one",
            evidence=healthy_cuda(workload=_BUILDS, evaluation=evaluation(seconds=2.0, share=0.1, low=0.08, high=0.12)),
            fires=True,
        ),
        Example(
            name="one percent",
            evidence=healthy_cpu(workload=_BUILDS, evaluation=evaluation(seconds=0.1, share=0.01, low=0.01, high=0.02)),
            fires=False,
        ),
        Example(
            name="without gradients",
            evidence=healthy_cpu(evaluation=evaluation(seconds=2.0, share=0.5, low=0.45, high=0.55)),
            fires=False,
        ),
    ),
)
