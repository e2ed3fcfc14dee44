"""The output layer and the loss run on positions that the loss leaves out."""

from __future__ import annotations

from ..types import Ceiling, Evidence, IgnoredRows, OperatorUse, Padding
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, severity_of
from ._examples import healthy_cpu, healthy_cuda
from ._operator_examples import operators
from ._read import MOST_SHARE, moved_share, operator_places, percent, traced_operators

SAVES_LEAST = 0.5
"""Part of the time of the rows left out that is saved at the low end: those that stay are gathered and scattered."""
UNSEEN = 1.5
"""Ratio, at most, of what they cost to the time of the operators on the scores: their memory is taken and given back in
each update, and a last layer before the scores may leave them out, too."""
BESIDE_PADDING = 0.3
"""Fraction of the positions that is left out beyond the padding, from which this is not the padding's finding."""


def judge(evidence: Evidence) -> Judgement:
    used = traced_operators(evidence)
    if used is None or used.ignored is None:
        return None
    found, padding = used.ignored, evidence.workload.padding
    if padding is not None and found.fraction < padding.fraction + BESIDE_PADDING:
        return None
    share = found.fraction * moved_share(evidence, used, found.seconds_per_update, found.bytes_per_update)
    if share < WARNING_SHARE:
        return None
    return Hit(
        share=share,
        severity=severity_of(share),
        evidence=f"The loss leaves out {percent(found.fraction)} of the positions, whose label is the ignored one, and "
        f"scores of {found.classes:,} classes are computed for all; those left out take {percent(share)} of the loop, "
        "forward and backward.",
        advice="Select the positions that have a label before the output layer: `hidden[labels != -100]` and "
        "`labels[labels != -100]`, then the layer and the loss on these alone. Loss and gradients stay the same.",
        where=operator_places([(found, share)]),
        ceiling=Ceiling.from_share(share, low=SAVES_LEAST * share, high=min(UNSEEN * share, MOST_SHARE)),
    )


def _ignored(seconds: float, fraction: float = 0.85, moved_bytes: int = 10**9) -> dict[str, OperatorUse]:
    """Return operators on scores that take this time in an update, most of whose rows the loss leaves out."""
    found = IgnoredRows(
        file="train.py",
        line=64,
        function="compute_loss",
        classes=12_000,
        fraction=fraction,
        seconds_per_update=seconds,
        bytes_per_update=moved_bytes,
    )
    return operators(ignored=found)


_PADDING = Padding(argument="attention_mask", source="mask", batches=8, fraction=0.7, beyond_longest=0.6, length=512)

RULE = Rule(
    id="rows_ignored",
    title="scores for positions without a label",
    headline="computes scores for positions that its loss leaves out",
    looks_at="The labels of traced losses that equal the ignored one, and the time of all operators on tensors as "
    "large as the scores, the output layer's products among them; on an accelerator the bytes they move, at the speed "
    "of its memory.",
    thresholds=("SAVES_LEAST", "UNSEEN", "MOST_SHARE", "BESIDE_PADDING", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="transformers#3830: masked language models score every position for the 15% that have a label.",
    url="https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html",
    judge=judge,
    examples=(
        Example(
            name="a masked language model, half the update", evidence=healthy_cpu(trace=_ignored(0.05)), fires=True
        ),
        Example(name="a seventh of it", evidence=healthy_cpu(trace=_ignored(0.016)), fires=True),
        Example(
            name="400 GB moved per update on an accelerator",
            evidence=healthy_cuda(trace=_ignored(0.001, moved_bytes=400 * 10**9)),
            fires=True,
        ),
        Example(name="few are left out", evidence=healthy_cpu(trace=_ignored(0.05, fraction=0.1)), fires=False),
        Example(name="the scores cost little", evidence=healthy_cpu(trace=_ignored(0.005)), fires=False),
        Example(
            name="what is left out is padding",
            evidence=healthy_cpu(trace=_ignored(0.05, fraction=0.75), workload={"padding": _PADDING}),
            fires=False,
        ),
        Example(name="every position has a label", evidence=healthy_cpu(trace=operators()), fires=False),
    ),
)
