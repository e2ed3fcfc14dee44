"""All pairs of rows are spread out in one large tensor, where a distance or a product of matrices would do."""

from __future__ import annotations

from typing import Literal

from ..types import Ceiling, Evidence, OperatorUse, Place, SpreadPair
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, severity_of
from ._examples import healthy_cpu, healthy_cuda
from ._operator_examples import operators
from ._read import MOST_SHARE, moved_share, percent, size, traced_operators

SAVES = 0.8
"""Part of the operators' time on such tensors that is promised: a product of matrices takes some of it."""
UNSEEN = 1.6
"""Ratio, at most, of the time that such tensors cost to that of the operators on them: their memory is given back and
taken again between these. Without differences of 256 rows of 256 numbers (56% of the loop in operators), a script on
two cores took a sixth of its CPU time."""
SAVES_LEAST = 0.4
"""The same at the low end: where other terms hold the pairs apart, a part of them has to stay."""
ADVICE = {
    "differences": "`torch.cdist(a, b)` gives the distances of all pairs without their differences; squared ones are "
    "`a.pow(2).sum(-1)[:, None] + b.pow(2).sum(-1) - 2 * a @ b.T`, less exact where rows are nearly equal. Where it "
    "has to be spread out, `torch.compile` makes one pass of the steps.",
    "products": "A product that is summed up is a product of matrices: `a @ b.T`, `torch.bmm` or `torch.einsum` give "
    "the sums without the products.",
}


def judge(evidence: Evidence) -> Judgement:
    used = traced_operators(evidence)
    if used is None or used.pairs is None:
        return None
    found = used.pairs
    share = moved_share(evidence, used, found.seconds_per_update, found.bytes_per_update)
    if SAVES * share < WARNING_SHARE:
        return None
    return Hit(
        share=share,
        severity=severity_of(SAVES * share),
        evidence=f"The {found.holds} of all pairs are written to a tensor of {size(found.bytes)} and then summed up; "
        f"what reads and writes tensors of this size, forward and backward, takes {percent(share)} of the loop.",
        advice=ADVICE[found.holds],
        where=(Place(file=found.file, line=found.line, function=found.function),),
        ceiling=Ceiling.from_share(SAVES * share, low=SAVES_LEAST * share, high=min(UNSEEN * share, MOST_SHARE)),
    )


def _spread(
    seconds: float, moved: int = 10**9, holds: Literal["differences", "products"] = "differences"
) -> dict[str, OperatorUse]:
    """Return operators around pairs of 256 rows with 256 numbers, which take this time in an update."""
    found = SpreadPair(
        file="train.py",
        line=38,
        function="distances",
        holds=holds,
        bytes=64 * 2**20,
        seconds_per_update=seconds,
        bytes_per_update=moved,
    )
    return operators(pairs=found)


RULE = Rule(
    id="pairs_spread",
    title="all pairs of rows in one tensor",
    headline="spreads out all pairs of rows, only to sum them up",
    looks_at="Differences and products in traced updates whose result is at least eight times as large as what they "
    "are made of, and is summed up; the time of all operators on tensors of that size on a CPU, on an accelerator the "
    "bytes they move, at the speed of its memory.",
    thresholds=("SAVES", "UNSEEN", "MOST_SHARE", "SAVES_LEAST", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="pytorch#9406 and pytorch-softdtw-cuda#23: distances by broadcasting against those by products.",
    url="https://docs.pytorch.org/docs/stable/generated/torch.cdist.html",
    judge=judge,
    examples=(
        Example(name="a triplet loss, two thirds of the update", evidence=healthy_cpu(trace=_spread(0.06)), fires=True),
        Example(
            name="products summed up, a fifth", evidence=healthy_cpu(trace=_spread(0.02, holds="products")), fires=True
        ),
        Example(
            name="400 GB moved per update on an accelerator",
            evidence=healthy_cuda(trace=_spread(0.001, 400 * 10**9)),
            fires=True,
        ),
        Example(name="one in twenty", evidence=healthy_cpu(trace=_spread(0.004)), fires=False),
        Example(name="no such tensor", evidence=healthy_cpu(trace=operators()), fires=False),
    ),
)
