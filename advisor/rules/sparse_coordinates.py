"""A constant sparse matrix in coordinate form is multiplied, and its transpose sorted in each backward."""

from __future__ import annotations

from ..types import Ceiling, Evidence, OperatorUse, SparseProduct
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, severity_of
from ._examples import healthy_cpu, healthy_cuda
from ._operator_examples import operators
from ._read import operator_places, operator_share, percent, traced_operators

SAVES = 0.6
"""Part of the operators' time that goes away without sorting: a LightGCN of 1.2 million edges ran 3.05 times as fast
with its transpose built once, which is 0.75 of their time."""
SAVES_LEAST = 0.1
"""The same at the low end: only to change the form (`to_sparse_csr()`) gave 1.14 there."""
LEAST_BACKWARD = 0.3
"""Part of the time in the backward from which it is more than the product with the transpose that it has to be."""


def judge(evidence: Evidence) -> Judgement:
    used = traced_operators(evidence)
    if used is None or used.sparse is None or used.sparse.backward_fraction < LEAST_BACKWARD:
        return None
    found = used.sparse
    share = operator_share(evidence, used, found.seconds_per_update)
    if SAVES * share < WARNING_SHARE:
        return None
    return Hit(
        share=share,
        severity=severity_of(SAVES * share),
        evidence=f"Operators on a sparse matrix in coordinate form ({found.stored:,} numbers) take {percent(share)} of "
        f"the loop, {percent(found.backward_fraction)} of that in the backward, which transposes and sorts the matrix.",
        advice="Build the matrix and its transpose once, before the loop, in compressed form (`to_sparse_csr()`), and "
        "multiply by the transpose in the `backward` of a `torch.autograd.Function`; a symmetric matrix is its own. "
        "Libraries for graphs keep both.",
        where=operator_places([(found, share)]),
        ceiling=Ceiling.from_share(SAVES * share, low=SAVES_LEAST * share, high=share),
    )


def _sparse(seconds: float, backward: float = 0.6) -> dict[str, OperatorUse]:
    """Return operators of which those on a sparse matrix take this time in an update."""
    found = SparseProduct(
        file="lightgcn.py",
        line=70,
        function="computer",
        stored=1_200_000,
        backward_fraction=backward,
        seconds_per_update=seconds,
    )
    return operators(sparse=found)


RULE = Rule(
    id="sparse_coordinates",
    title="a sparse matrix in coordinate form",
    headline="sorts a constant sparse matrix in every backward",
    looks_at="Traced operators on sparse tensors in coordinate form, beside a product with one that gets no gradient, "
    "and the part of their time in the backward.",
    thresholds=("SAVES", "SAVES_LEAST", "LEAST_BACKWARD", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="dgl#427 and torchdrug#173: graph convolutions by torch.sparse.mm, whose backward is the cost.",
    url="https://docs.pytorch.org/docs/stable/sparse.html#sparse-csr-docs",
    judge=judge,
    examples=(
        Example(
            name="a graph convolution, two thirds of the update", evidence=healthy_cpu(trace=_sparse(0.06)), fires=True
        ),
        Example(name="on an accelerator", evidence=healthy_cuda(trace=_sparse(0.06)), fires=True),
        Example(name="one in ten", evidence=healthy_cpu(trace=_sparse(0.01)), fires=False),
        Example(name="no gradient passes it", evidence=healthy_cpu(trace=_sparse(0.06, backward=0.0)), fires=False),
        Example(name="nothing is sparse", evidence=healthy_cpu(trace=operators()), fires=False),
    ),
)
