"""Sizes of 16-bit products that are no multiple of 8, which tensor cores take badly."""

from __future__ import annotations

from ..types import Ceiling, Evidence
from ._base import Example, Hit, Judgement, Rule, severity_of
from ._examples import healthy_cpu, healthy_cuda
from ._operator_examples import operators
from ._read import compute_capability, compute_share, percent, traced_operators

MULTIPLE = 8
"""Elements of 16 bits in the 16 bytes that a tensor core's operands are read by (NVIDIA's guide to matrix products)."""
ROUNDED = 64
"""Multiple to round up to: 128 bytes, the width of a cache line, which tiles of A100 and newer are made of."""
TENSOR_CORES = 7
"""Major compute capability from which there are tensor cores."""
SAVES = 0.4
"""Part of such products' time that a rounded size saves: unaligned rows are read in smaller pieces."""
SAVES_MOST = 0.75
"""Upper bound of that part: the rate without alignment was a quarter in NVIDIA's figures."""
MIN_SAVED = 0.03
"""Estimated saving below which it is not reported; the change is one number."""
_SIZES_NAMED = 3


def judge(evidence: Evidence) -> Judgement:
    used = traced_operators(evidence)
    total = sum(used.flops_by_dtype.values()) if used is not None else 0
    if used is None or not total:
        return None
    share = min(1.0, sum(used.odd_flops.values()) / total) * compute_share(evidence)
    saved = share * SAVES
    if saved < MIN_SAVED:
        return None
    sizes = sorted(used.odd_flops, key=lambda size: -used.odd_flops[size])[:_SIZES_NAMED]
    first = int(sizes[0])
    rounded = -(-first // ROUNDED) * ROUNDED
    return Hit(
        share=share,
        severity=severity_of(saved),
        evidence=f"16-bit products with rows of {', '.join(sizes)} elements, no multiple of {MULTIPLE}, are "
        f"{percent(share)} of the loop: tensor cores read them in smaller pieces.",
        advice=f"Round the size up, {first} to {rounded}, with rows that stay unused: for a vocabulary "
        f"`vocab_size = {ROUNDED} * math.ceil(vocab_size / {ROUNDED})` in the embedding and the last layer.",
        ceiling=Ceiling.from_share(saved, high=share * SAVES_MOST),
    )


def has_tensor_cores(evidence: Evidence) -> bool:
    """Return whether the training runs on a CUDA device with tensor cores."""
    capability = compute_capability(evidence)
    return capability is not None and capability[0] >= TENSOR_CORES


def _products(**odd_flops: int) -> dict[str, object]:
    odd = {size.lstrip("_"): flops for size, flops in odd_flops.items()}
    return {**operators(flops_by_dtype={"bfloat16": 10**13}, odd_flops=odd)}


RULE = Rule(
    id="shapes_off",
    title="sizes that tensor cores take badly",
    headline="multiplies matrices whose sizes tensor cores take badly, for {share} of its time",
    looks_at="The FLOPs of traced 16-bit products by the sizes of their innermost dimensions, and the accelerator's "
    "compute capability.",
    thresholds=(
        "MULTIPLE",
        "ROUNDED",
        "TENSOR_CORES",
        "SAVES",
        "SAVES_MOST",
        "MIN_SAVED",
        "WARNING_SHARE",
        "CRITICAL_SHARE",
    ),
    source="NVIDIA's guide to matrix products; torch's profiler looked for float16 sizes that are no multiple of 8; "
    "nanoGPT pads its vocabulary from 50257 to 50304.",
    url="https://docs.nvidia.com/deeplearning/performance/dl-performance-matrix-multiplication/index.html",
    needs_updates=False,
    applies=has_tensor_cores,
    judge=judge,
    examples=(
        Example(
            name="a vocabulary of 50257 tokens, with 30% of the FLOPs",
            evidence=healthy_cuda(trace=_products(_50257=3 * 10**12)),
            fires=True,
        ),
        Example(
            name="layers of 1,001 units",
            evidence=healthy_cuda(trace=_products(_1001=9 * 10**12)),
            fires=True,
        ),
        Example(
            name="a last layer of 10 classes",
            evidence=healthy_cuda(trace=_products(_10=10**10)),
            fires=False,
        ),
        Example(name="multiples of 64", evidence=healthy_cuda(trace=_products()), fires=False),
        Example(
            name="the same vocabulary on a CPU", evidence=healthy_cpu(trace=_products(_50257=3 * 10**12)), fires=False
        ),
    ),
)
