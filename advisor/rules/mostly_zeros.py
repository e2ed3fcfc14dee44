"""A product with a matrix of almost nothing but zeros, such as one-hot rows, where a lookup would do."""

from __future__ import annotations

from ..types import Ceiling, Evidence, OperatorUse, Place, ZeroProduct
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, severity_of
from ._examples import healthy_cpu
from ._operator_examples import operators
from ._read import operator_share, percent, traced_operators

SAVES = 0.9
"""Part of the time around such a matrix that is promised. A lookup of 384 rows among 20,000 with its gradient took less
than a hundredth of making and multiplying them on a CPU, and a diagonal of 1,300 as a vector a twentieth; counts of
words leave more to do."""


def judge(evidence: Evidence) -> Judgement:
    used = traced_operators(evidence)
    if used is None or used.zero_product is None:
        return None
    found = used.zero_product
    share = operator_share(evidence, used, found.seconds_per_update)
    if SAVES * share < WARNING_SHARE:
        return None
    return Hit(
        share=share,
        severity=severity_of(SAVES * share, least="warning"),
        evidence=f"{percent(share)} of the loop makes, reads and multiplies a matrix of {found.rows:,} by "
        f"{found.columns:,} in which at least 98 of 100 numbers are zero.",
        advice="Look rows up in place of multiplying one-hot rows: `nn.Embedding` for one index a row (the weight is "
        "that of the linear layer, transposed), `nn.EmbeddingBag` for several. Multiply by a diagonal as a vector "
        "(`d[:, None] * a`), and use `torch.sparse` for counts and graphs.",
        where=(Place(file=found.file, line=found.line, function=found.function),),
        ceiling=Ceiling.from_share(SAVES * share, high=share),
    )


def _multiplied(seconds: float) -> dict[str, OperatorUse]:
    """Return operators with a product of 384 one-hot rows of 20,000, of which this is the time in an update."""
    product = ZeroProduct(
        file="train.py", line=31, function="forward", rows=384, columns=20_000, seconds_per_update=seconds
    )
    return operators(zero_product=product)


RULE = Rule(
    id="mostly_zeros",
    title="products with matrices of zeros",
    headline="multiplies matrices of almost nothing but zeros",
    looks_at="Samples of the first operand of products in traced updates on a CPU, and the time of all operators on "
    "tensors of that size.",
    thresholds=("SAVES", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="torch's documentation of Embedding: a lookup gives what a product with one-hot rows gives.",
    url="https://docs.pytorch.org/docs/stable/generated/torch.nn.Embedding.html",
    judge=judge,
    examples=(
        Example(name="two thirds of the update", evidence=healthy_cpu(trace=_multiplied(0.06)), fires=True),
        Example(name="a fifth", evidence=healthy_cpu(trace=_multiplied(0.02)), fires=True),
        Example(name="one in twenty", evidence=healthy_cpu(trace=_multiplied(0.004)), fires=False),
        Example(name="no such matrix", evidence=healthy_cpu(trace=operators()), fires=False),
    ),
)
