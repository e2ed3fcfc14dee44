"""Gradients are computed for parameters that no optimizer updates."""

from __future__ import annotations

from ..types import Evidence, Place, UnusedGradients
from ._base import Example, Hit, Judgement, Rule, ceiling_of, clamp, severity_of
from ._examples import healthy_cpu, healthy_cuda, what_if
from ._operator_examples import operators, unused_gradients
from ._read import MAX_PLACES, percent, phase_share, traced_operators

MIN_SHARE = 0.05
"""Share from which it is reported: one line removes it, or shows that the optimizer misses parameters."""
OWN_PART = 0.5
"""Part of a module's backward in the gradients of its parameters; the other half is passed on to what lies in front."""
MIN_GAIN = 1.03
"""Measured speed-up without these gradients, below which they cost nothing."""


def judge(evidence: Evidence) -> Judgement:
    found = _found(evidence)
    share = _share(evidence, found) if found is not None else 0.0
    measured = evidence.what_ifs.get("no_unused_gradients")
    if found is None or share < MIN_SHARE or (measured is not None and measured.high < MIN_GAIN):
        return None
    names = ", ".join(f"`{name}`" for name in found.names[:MAX_PLACES])
    more = f" and {len(found.names) - MAX_PLACES} more" if len(found.names) > MAX_PLACES else ""
    return Hit(
        share=share,
        severity=severity_of(share),
        evidence=f"{names}{more} ({found.parameters:,} parameters) get gradients but belong to no optimizer, so these "
        f"parameters never change. Their gradients take about {percent(share)} of the loop, "
        + ("as nothing in front of them is trained either." if found.leading else "without those passed on."),
        advice=f"Freeze them: `model.{found.names[0]}.requires_grad_(False)`"
        + (" (or run them under `torch.no_grad()`)" if found.leading else "")
        + ". If they should train, give them to the optimizer: it was made with other parameters.",
        where=(Place(file=found.file, line=found.line, function=found.function),) if found.line else (),
        ceiling=ceiling_of(measured, share),
    )


def _found(evidence: Evidence) -> UnusedGradients | None:
    used = traced_operators(evidence)
    return used.unused_gradients if used is not None else None


def _share(evidence: Evidence, found: UnusedGradients) -> float:
    """Return the share of their backward: as large a part of the backward as they are of the forward."""
    forward, backward = phase_share(evidence, "forward"), phase_share(evidence, "backward")
    fraction = found.flops_fraction if evidence.on_accelerator else found.seconds_fraction
    own_forward = (fraction or 0.0) * phase_share(evidence, "forward", "backward", "optimizer")
    if forward <= 0:
        return 0.0
    return backward * clamp(own_forward / forward) * (1.0 if found.leading else OWN_PART)


_UNUSED = operators(unused_gradients=unused_gradients())

RULE = Rule(
    id="frozen_computes_gradients",
    title="gradients that no optimizer uses",
    headline="computes gradients of parameters that no optimizer updates, which takes about {share} of its time",
    looks_at="Parameters that have gradients, belong to no optimizer that steps and kept their values in the traced "
    "updates, the time of their modules' forward, and the what-if no_unused_gradients.",
    thresholds=("MIN_SHARE", "OWN_PART", "MIN_GAIN", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="PyTorch's notes on autograd: `requires_grad=False` is what saves the backward, and the optimizer's list of "
    "parameters is not.",
    url="https://docs.pytorch.org/docs/stable/notes/autograd.html#setting-requires-grad",
    needs_updates=False,
    applies=lambda evidence: _found(evidence) is not None,
    judge=judge,
    examples=(
        Example(
            name="an optimizer over the head alone, and a backbone that still requires gradients",
            evidence=healthy_cpu(trace=_UNUSED, what_ifs=what_if("no_unused_gradients", 2.2)),
            fires=True,
        ),
        Example(name="the same on an accelerator, not measured", evidence=healthy_cuda(trace=_UNUSED), fires=True),
        Example(
            name="a layer behind a trained one that the optimizer misses",
            evidence=healthy_cpu(trace=operators(unused_gradients=unused_gradients(leading=False))),
            fires=True,
        ),
        Example(
            name="a small layer with 4% of the backward",
            evidence=healthy_cpu(trace=operators(unused_gradients=unused_gradients(seconds_fraction=0.02))),
            fires=False,
        ),
        Example(
            name="without them the loop was no faster",
            evidence=healthy_cpu(trace=_UNUSED, what_ifs=what_if("no_unused_gradients", 1.0, 0.98, 1.02)),
            fires=False,
        ),
        Example(name="every gradient is used", evidence=healthy_cpu(trace=operators()), fires=False),
    ),
)
