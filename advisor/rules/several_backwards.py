"""Several losses are taken backward one by one through a forward that they share."""

from __future__ import annotations

from ..types import Ceiling, Evidence
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, severity_of
from ._examples import healthy_cpu, line
from ._read import line_places, percent, phase_share

LEAST_REPEATED = 0.5
"""Repeated backwards an update: fewer are an occasional look at a gradient."""
SAVES = 0.8
"""Part of the repeated backwards' time that is promised: what the losses do not share stays."""
SAVES_LEAST = 0.2
"""Least part of it, where most layers belong to one loss each."""


def judge(evidence: Evidence) -> Judgement:
    facts = evidence.workload.facts
    repeated = facts.repeated_backwards
    backward = phase_share(evidence, "backward")
    share = backward * repeated / (repeated + max(1, facts.micro_steps))
    if share < WARNING_SHARE:
        return None
    return Hit(
        share=share,
        severity=severity_of(SAVES * share, least="warning"),
        evidence=f"An update calls backward {repeated + facts.micro_steps:.0f} times with `retain_graph=True` after "
        f"{facts.micro_steps} forward, and runs through the layers that the losses share each time; backward takes "
        f"{percent(backward)} of the loop.",
        advice="Add the losses up and call backward once: `(loss_a + loss_b).backward()`. The gradients are the same "
        "sums. Only a method that needs the gradients of each loss apart has to keep them apart.",
        where=line_places(sorted((x for x in evidence.lines if x.phase == "backward"), key=lambda x: -x.share)),
        ceiling=Ceiling.from_share(SAVES * share, low=SAVES_LEAST * share, high=share),
    )


def _repeats(evidence: Evidence) -> bool:
    facts = evidence.workload.facts
    return facts.retains_graph and facts.repeated_backwards >= LEAST_REPEATED


_TWICE = {"facts": {"retains_graph": True, "repeated_backwards": 1.0}}

RULE = Rule(
    id="several_backwards",
    title="several backwards through one forward",
    headline="runs backward through the same layers again for each of its losses",
    looks_at="Backwards that follow another one with `retain_graph=True` without a forward between them, and the share "
    "of the backward pass.",
    thresholds=("LEAST_REPEATED", "SAVES", "SAVES_LEAST", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="The chain rule: the gradient of a sum is the sum of the gradients, in one pass instead of one for each.",
    url="https://docs.pytorch.org/docs/stable/generated/torch.Tensor.backward.html",
    applies=_repeats,
    judge=judge,
    examples=(
        Example(
            name="two losses on one trunk",
            evidence=healthy_cpu(workload=_TWICE, lines=(line("torch", 0.5, phase="backward", function="train"),)),
            fires=True,
        ),
        Example(
            name="five losses",
            evidence=healthy_cpu(workload={"facts": {"retains_graph": True, "repeated_backwards": 4.0}}),
            fires=True,
        ),
        Example(
            name="a gradient penalty in every tenth update",
            evidence=healthy_cpu(workload={"facts": {"retains_graph": True, "repeated_backwards": 0.1}}),
            fires=False,
        ),
        Example(
            name="losses whose backward takes 12% of the loop",
            evidence=healthy_cpu(workload=_TWICE, phases={"data_wait": 0.7, "backward": 0.12}),
            fires=False,
        ),
        Example(
            name="one backward that keeps its graph",
            evidence=healthy_cpu(workload={"facts": {"retains_graph": True}}),
            fires=False,
        ),
    ),
)
