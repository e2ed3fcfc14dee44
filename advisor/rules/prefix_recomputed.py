"""A sequence model is called on each prefix of its targets, and computes the earlier positions again every time."""

from __future__ import annotations

from ..types import Ceiling, Evidence, Place, PrefixCalls
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, severity_of
from ._examples import healthy_cpu, healthy_cuda
from ._operator_examples import operators
from ._read import compute_share, percent, traced_operators

SAVES_LEAST = 0.5
"""Part of the saving that is promised at the low end: a decoder that needs its own outputs keeps a call per position,
and saves what a cache of keys and values saves."""


def judge(evidence: Evidence) -> Judgement:
    used = traced_operators(evidence)
    if used is None or used.prefixes is None:
        return None
    found, compute = used.prefixes, compute_share(evidence)
    share, saved = found.fraction * compute, found.saved_fraction * compute
    if saved < WARNING_SHARE:
        return None
    return Hit(
        share=share,
        severity=severity_of(saved, least="warning"),
        evidence=f"A forward calls the same layers {found.calls} times, each time on a longer part of the sequence, "
        f"and {percent(found.saved_fraction)} of its products compute positions again that an earlier call has "
        "computed.",
        advice="Call the model once on the whole sequence: with a causal mask, each position sees only what comes "
        "before it, and all targets are known in training. If a step needs the output of the one before, keep keys "
        "and values (a cache) or the recurrent state, and compute the new position only.",
        where=(Place(file=found.file, line=found.line, function=found.function),),
        ceiling=Ceiling.from_share(saved, low=SAVES_LEAST * saved, high=share * (1 - 1 / found.calls)),
    )


def _called(fraction: float = 1.0) -> dict[str, object]:
    """Return operators with 20 calls on prefixes, which take this part of the products."""
    saved = fraction * (1 - 20 / 210)
    found = PrefixCalls(file="train.py", line=31, function="step", calls=20, fraction=fraction, saved_fraction=saved)
    return {**operators(prefixes=found)}


RULE = Rule(
    id="prefix_recomputed",
    title="a call for each prefix of a sequence",
    headline="computes the beginnings of its sequences again for each position",
    looks_at="Products with the same weight in the forward of traced updates, whose inputs are longer by the same "
    "number of rows each time.",
    thresholds=("SAVES_LEAST", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="Questions on slow decoders that are fed the sequence so far (OpenNMT-py#2156, pytorch#49791): teacher "
    "forcing needs one call.",
    url="https://docs.pytorch.org/docs/stable/generated/torch.nn.Transformer.html",
    judge=judge,
    examples=(
        Example(name="twenty words, twenty calls", evidence=healthy_cpu(trace=_called()), fires=True),
        Example(name="the same on an accelerator", evidence=healthy_cuda(trace=_called()), fires=True),
        Example(name="a small head that reads prefixes", evidence=healthy_cpu(trace=_called(0.08)), fires=False),
        Example(name="one call on the sequence", evidence=healthy_cpu(trace=operators()), fires=False),
    ),
)
