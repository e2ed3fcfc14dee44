"""float16 on a CPU, whose kernels are made for float32 and bfloat16."""

from __future__ import annotations

from ..types import Ceiling, Evidence
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, severity_of
from ._examples import healthy_cpu, healthy_cuda
from ._read import compute_share, percent

SLOWDOWN = 10.6
"""Slowdown of a small residual network under float16 autocast against float32, on two cores with AVX512-FP16, in
updates per second of fresh processes; its backward took 97% of the update. The ceiling's upper end goes no further."""
SAVES = 0.5
"""Part of the compute's time that is promised: networks with only large products lose less."""


def judge(evidence: Evidence) -> Judgement:
    share = compute_share(evidence)
    if share < WARNING_SHARE:
        return None
    return Hit(
        share=share,
        severity=severity_of(share),
        evidence=f"Forward and backward run under autocast to float16 on a CPU ({percent(share)} of the loop), whose "
        "kernels are optimized for float32 and bfloat16. In float16 many operators fall back to slow loops, "
        "above all in the backward pass.",
        advice="Use `torch.bfloat16` if the CPU has instructions for it, and no autocast otherwise: "
        '`dtype=torch.float16 if device.type == "cuda" else torch.bfloat16`.',
        ceiling=Ceiling.from_share(share * SAVES, high=share * (1 - 1 / SLOWDOWN)),
    )


_HALF = {"flags": {"autocast_dtype": "float16"}}

RULE = Rule(
    id="half_on_cpu",
    title="float16 autocast on a CPU",
    headline="computes in float16 on a CPU, whose kernels are optimized for float32 and bfloat16",
    looks_at="The autocast dtype of the forward pass, and the device.",
    thresholds=("SLOWDOWN", "SAVES", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="pytorch#118499, transformers#34692: half precision on a CPU is far slower than float32.",
    url="https://docs.pytorch.org/docs/stable/amp.html",
    applies=lambda evidence: not evidence.on_accelerator and evidence.workload.flags.autocast_dtype == "float16",
    needs_updates=False,
    judge=judge,
    examples=(
        Example(
            name="the same, with a loader that takes half of the time",
            evidence=healthy_cpu(workload=_HALF, phases={"data_wait": 0.5}),
            fires=True,
        ),
        Example(
            name="a script for a GPU, run on a laptop",
            evidence=healthy_cpu(workload=_HALF, steps={"updates": 5}),
            fires=True,
        ),
        Example(
            name="bfloat16 on a CPU",
            evidence=healthy_cpu(workload={"flags": {"autocast_dtype": "bfloat16"}}),
            fires=False,
        ),
        Example(name="float16 on an accelerator", evidence=healthy_cuda(workload=_HALF), fires=False),
        Example(name="float32", evidence=healthy_cpu(), fires=False),
    ),
)
