"""The accelerator computes, but far below its peak."""

from __future__ import annotations

from ..types import Evidence
from ._base import Example, Hit, Judgement, Rule, Undecided
from ._examples import healthy_cpu, healthy_cuda
from ._read import compute_share, device_busy, overhead_fraction, percent

LOW_FRACTION = 0.20
"""Fraction of the peak: good transformers reach 0.4 to 0.6, convolutional networks 0.2 to 0.3."""
MIN_COMPUTE_SHARE = 0.6
"""Share of the loop in forward and backward, below which the rest of the loop is the finding."""
MAX_OVERHEAD = 0.3
"""Share of calling operators above which the finding is overhead_bound."""
MIN_BUSY = 0.6
"""Busy fraction below which the accelerator waits for the host; other rules say for what."""


def judge(evidence: Evidence) -> Judgement:
    fraction = evidence.compute.peak_fraction
    if compute_share(evidence) < MIN_COMPUTE_SHARE or (overhead_fraction(evidence) or 0.0) > MAX_OVERHEAD:
        return None
    if fraction is None:
        return Undecided(why="the peak of this accelerator or the FLOPs of an update are unknown")
    busy = device_busy(evidence)
    if fraction >= LOW_FRACTION or (busy is not None and busy < MIN_BUSY):
        return None
    dtype = evidence.compute.peak_dtype
    return Hit(
        share=compute_share(evidence),
        severity="info",
        evidence=f"The training reaches {percent(fraction)} of the accelerator's peak{f' for {dtype}' if dtype else ''}"
        + (", limited by memory bandwidth" if evidence.compute.roofline_bound == "memory" else "")
        + " (FLOPs of products, convolutions and attention once; recomputation is not counted).",
        advice="Larger micro-batches, dimensions that are multiples of 8 (64 on newer devices), fused attention "
        "(`scaled_dot_product_attention`), half precision, and `torch.compile` help.",
    )


_LOW = {"peak_fraction": 0.08}

RULE = Rule(
    id="low_mfu",
    title="the accelerator runs far below its peak",
    looks_at="The fraction of the peak (model FLOPs over the device's rate for the dtype used), if the accelerator is "
    "busy and forward and backward are most of the loop.",
    thresholds=("LOW_FRACTION", "MIN_COMPUTE_SHARE", "MAX_OVERHEAD", "MIN_BUSY"),
    source="Model FLOPs utilisation as PaLM's report defines it; gpuprof warns below 30%.",
    url="https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html",
    knobs=("global_batch", "precision", "compile", "memory_format", "cudnn_benchmark"),
    applies=lambda evidence: evidence.on_accelerator,
    judge=judge,
    examples=(
        Example(name="8% of the peak", evidence=healthy_cuda(compute=_LOW), fires=True),
        Example(
            name="5%, bound by memory",
            evidence=healthy_cuda(compute={"peak_fraction": 0.05, "roofline_bound": "memory"}),
            fires=True,
        ),
        Example(name="45% of the peak", evidence=healthy_cuda(), fires=False),
        Example(
            name="8%, because it waits for data",
            evidence=healthy_cuda(compute=_LOW, phases={"data_wait": 0.6}),
            fires=False,
        ),
        Example(name="on a CPU", evidence=healthy_cpu(compute=_LOW), fires=False),
        Example(name="peak unknown", evidence=healthy_cuda(compute={"peak_fraction": None}), fires="abstains"),
    ),
)
