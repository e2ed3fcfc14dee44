"""A backward goes on through a model whose gradients are reset before its optimizer steps."""

from __future__ import annotations

from ..types import Ceiling, Evidence, OperatorUse, ThrownGradients
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, severity_of
from ._examples import healthy_cpu, healthy_cuda, optimizer
from ._operator_examples import operators
from ._read import MOST_SHARE, operator_places, operator_share, percent, traced_operators

SAVES_LEAST = 0.6
"""Part of the time after the last gradient in use that is saved at the low end."""
UNSEEN = 1.6
"""Ratio, at most, of what the gradients cost to the time of their operators: they are added up and reset, too, and the
forward keeps activations for them."""


def judge(evidence: Evidence) -> Judgement:
    used = traced_operators(evidence)
    if used is None or used.thrown is None:
        return None
    found = used.thrown
    share = operator_share(evidence, used, found.seconds_per_update)
    if share < WARNING_SHARE:
        return None
    model = f"`{found.model}`" if found.model else "the model of another optimizer"
    return Hit(
        share=share,
        severity=severity_of(share),
        evidence=f"The backward at line {found.line} goes on through {model}, whose gradients are reset before its "
        f"optimizer steps: {percent(share)} of the loop.",
        advice=f"Detach what {model} has made before this loss reads it (`fake.detach()`), or make it under "
        "`torch.no_grad()`. The gradients that are used stay the same.",
        where=operator_places([(found, share)]),
        ceiling=Ceiling.from_share(share, low=SAVES_LEAST * share, high=min(UNSEEN * share, MOST_SHARE)),
    )


def _thrown(seconds: float, model: str = "Generator") -> dict[str, OperatorUse]:
    """Return operators of which those of another model's gradients take this time in an update."""
    found = ThrownGradients(
        file="gan.py", line=95, function="train", model=model, backwards_per_update=1.0, seconds_per_update=seconds
    )
    return operators(thrown=found)


_TWO = {"optimizers": (optimizer(), optimizer())}

RULE = Rule(
    id="gradients_thrown",
    title="gradients that nobody uses before they are reset",
    headline="computes gradients of another model, and throws them away",
    looks_at="Traced updates with several optimizers: gradients that a backward computes after the last one that an "
    "optimizer uses, and that are reset before theirs steps; the time of the operators from there to the end of the "
    "backward.",
    thresholds=("SAVES_LEAST", "UNSEEN", "MOST_SHARE", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="pytorch-tutorial#56: a discriminator's loss of pictures that are not detached from their generator.",
    url="https://docs.pytorch.org/tutorials/beginner/dcgan_faces_tutorial.html",
    applies=lambda evidence: len(evidence.workload.optimizers) > 1,
    judge=judge,
    examples=(
        Example(
            name="a generator behind its discriminator",
            evidence=healthy_cpu(trace=_thrown(0.027), workload=_TWO),
            fires=True,
        ),
        Example(
            name="on an accelerator", evidence=healthy_cuda(trace=_thrown(0.027, model=""), workload=_TWO), fires=True
        ),
        Example(name="one in twenty", evidence=healthy_cpu(trace=_thrown(0.004), workload=_TWO), fires=False),
        Example(name="pictures are detached", evidence=healthy_cpu(trace=operators(), workload=_TWO), fires=False),
    ),
)
