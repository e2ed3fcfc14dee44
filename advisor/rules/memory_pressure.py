"""Memory is nearly full."""

from __future__ import annotations

from ..types import Evidence
from ._base import Example, Hit, Judgement, Rule
from ._examples import GIB, healthy_cpu, healthy_cuda
from ._read import limit_bytes, percent, size

NEARLY_FULL = 0.90
"""Fraction of the limit at which a batch of longer sequences, or another program, ends the run."""
FULL = 0.97
"""Fraction at which an accelerator's allocator begins to free and request again, which costs time before it fails."""


def judge(evidence: Evidence) -> Judgement:
    peak, limit = evidence.memory.peak_bytes, limit_bytes(evidence)
    if peak is None or not limit or peak < NEARLY_FULL * limit:
        return None
    return Hit(
        severity="critical" if peak >= FULL * limit else "warning",
        evidence=f"At its peak training uses {size(peak)} of {size(limit)} ({percent(peak / limit)}).",
        advice="Use smaller micro-batches with gradient accumulation, store activations in bf16 or recompute them in "
        "the backward pass, or use fewer workers that prefetch fewer batches.",
    )


RULE = Rule(
    id="memory_pressure",
    title="memory is nearly full",
    headline="is close to its memory limit",
    looks_at="The peak memory (of the accelerator, or resident on a CPU) relative to its limit, including that of a "
    "control group.",
    thresholds=("NEARLY_FULL", "FULL"),
    source="The PyTorch profiler's TensorBoard plug-in warned at 90%, others at 90 to 92 and 97%.",
    url="https://docs.pytorch.org/docs/stable/notes/cuda.html",
    knobs=("micro_batch", "activation_checkpointing", "precision", "num_workers"),
    judge=judge,
    needs_updates=False,
    examples=(
        Example(name="78 of 80 GiB", evidence=healthy_cuda(memory={"peak_bytes": 78 * GIB}), fires=True),
        Example(
            name="a container's limit of 3.2 GiB",
            evidence=healthy_cpu(hardware={"memory": {"limit_bytes": int(3.2 * GIB)}}, memory={"limit_bytes": None}),
            fires=True,
        ),
        Example(name="62 of 80 GiB: well used", evidence=healthy_cuda(), fires=False),
        Example(name="not measured", evidence=healthy_cuda(memory={"peak_bytes": None}), fires=False),
    ),
)
