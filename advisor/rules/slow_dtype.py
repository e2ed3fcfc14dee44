"""16-bit arithmetic on hardware that is slow in it: float16 on a CPU, bfloat16 where it is emulated."""

from __future__ import annotations

from typing import NamedTuple

from ..types import Ceiling, Evidence
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, severity_of
from ._examples import gpu, healthy_cpu, healthy_cuda, model
from ._read import compute_capability, compute_share, main_models, percent

BF16_CAPABILITY = 8
"""Major compute capability from which a CUDA device multiplies in bf16; older ones convert to float32 and back."""
BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")
"""Instructions for bf16 of x86 CPUs; without them each product converts to float32 and back."""
X86 = ("x86_64", "AMD64")
"""Architectures whose instructions are known."""
SLOWDOWN = 10.6
"""Slowdown of a small residual network under float16 autocast against float32, on two cores with AVX512-FP16, in
updates per second of fresh processes; its backward took 97% of the update. The ceiling's upper end goes no further."""
SAVES = 0.5
"""Part of the compute's time that is promised on a CPU: networks with only large products lose less in float16."""
BF16_SLOWDOWN = 41.0
"""Slowdown of bfloat16 against float32 where a CPU emulates it: products with oneDNN limited to AVX2. Convolutions took
9.8 times as long; with AVX-512 but no instructions for bfloat16 it was 3.8 (convolutions) to 8.4 times (products)."""
GPU_SLOWDOWN = 3.0
"""Largest slowdown by emulated bfloat16 to expect on a GPU."""
GPU_SAVES = 0.2
"""Part of the compute's time that is promised there: products convert their operands, and operators that only move
memory gain from half the bytes."""
MOSTLY = 0.5
"""Fraction of the parameters in a dtype from which the model counts as being in it."""


class _Slow(NamedTuple):
    """Dtype that this hardware is slow in."""

    dtype: str
    by: str
    """Place where the dtype is asked for: autocast, or the model's parameters."""
    why: str
    saves: float
    slowdown: float


def judge(evidence: Evidence) -> Judgement:
    slow, share = _slow(evidence), compute_share(evidence)
    if slow is None or share < WARNING_SHARE:
        return None
    return Hit(
        share=share,
        severity=severity_of(share * slow.saves, least="warning"),
        evidence=f"Forward and backward run in {slow.dtype} ({slow.by}, {percent(share)} of the loop) on {slow.why}",
        advice=_advice(evidence, slow),
        ceiling=Ceiling.from_share(share * slow.saves, high=share * (1 - 1 / slow.slowdown)),
    )


def _slow(evidence: Evidence) -> _Slow | None:
    dtype, by = _dtype(evidence)
    if dtype == "float16" and evidence.workload.device == "cpu":
        why = (
            "a CPU, whose kernels are optimized for float32 and bfloat16. In float16 many operators fall back to slow "
            "loops, above all in the backward pass."
        )
        return _Slow(dtype, by, why, SAVES, SLOWDOWN)
    if dtype != "bfloat16":
        return None
    capability = compute_capability(evidence)
    if capability is not None and capability[0] < BF16_CAPABILITY:
        version = ".".join(map(str, capability))
        why = (
            f"a GPU of compute capability {version}, which has no bfloat16 arithmetic and converts to float32 and back."
        )
        return _Slow(dtype, by, why, SAVES, BF16_SLOWDOWN)
    if _emulates_bf16(evidence):
        why = "a CPU without instructions for bfloat16, which converts to float32 and back."
        return _Slow(dtype, by, why, SAVES, BF16_SLOWDOWN)
    return None


def _dtype(evidence: Evidence) -> tuple[str, str]:
    """Return the 16-bit dtype of the forward and where it is asked for; "" if it is none."""
    if evidence.workload.flags.autocast_dtype is not None:
        return evidence.workload.flags.autocast_dtype, "autocast"
    counts: dict[str, int] = {}
    for found in main_models(evidence):
        for name, count in found.parameter_dtypes.items():
            counts[name] = counts.get(name, 0) + count
    most = max(counts, key=lambda name: counts[name], default="")
    return (most, "the model's parameters") if counts and counts[most] > MOSTLY * sum(counts.values()) else ("", "")


def _emulates_bf16(evidence: Evidence) -> bool:
    cpu = evidence.hardware.cpu
    known = evidence.workload.device == "cpu" and cpu.architecture in X86 and bool(cpu.instruction_sets)
    return known and not any(name in BF16_INSTRUCTIONS for name in cpu.instruction_sets)


def _advice(evidence: Evidence, slow: _Slow) -> str:
    if slow.by != "autocast":
        call = "`.half()`" if slow.dtype == "float16" else "`.bfloat16()`"
        return f"Keep model and inputs in float32 here: leave out {call} unless the device is fast in {slow.dtype}."
    if slow.dtype == "bfloat16" and evidence.on_accelerator:
        return "Use `torch.float16` with a `GradScaler` here: its tensor cores take float16."
    if slow.dtype == "bfloat16":
        return "Leave out autocast here: `torch.autocast(..., enabled=False)`."
    return (
        "Use `torch.bfloat16` if the CPU has instructions for it, and no autocast otherwise: "
        '`dtype=torch.float16 if device.type == "cuda" else torch.bfloat16`.'
    )


_FP16 = {"flags": {"autocast_dtype": "float16"}}
_BF16 = {"flags": {"autocast_dtype": "bfloat16"}}
_TURING = {"accelerators": (gpu(name="Tesla T4", compute_capability=(7, 5)),)}
_WITH_BF16 = {"cpu": {"instruction_sets": ("avx2", "avx512f", "avx512_bf16")}}

RULE = Rule(
    id="slow_dtype",
    formerly=("half_on_cpu",),
    title="16-bit arithmetic on hardware that is slow in it",
    headline="computes in 16 bits on hardware that is faster in float32",
    looks_at="The autocast dtype of the forward pass or that of most parameters, the device, its compute capability, "
    "and the CPU's instruction sets.",
    thresholds=(
        "BF16_CAPABILITY",
        "BF16_INSTRUCTIONS",
        "X86",
        "SLOWDOWN",
        "SAVES",
        "BF16_SLOWDOWN",
        "GPU_SLOWDOWN",
        "GPU_SAVES",
        "MOSTLY",
        "WARNING_SHARE",
        "CRITICAL_SHARE",
    ),
    source="pytorch#118499, transformers#34692: half precision on a CPU is far slower than float32.",
    url="https://docs.pytorch.org/docs/stable/amp.html",
    needs_updates=False,
    judge=judge,
    examples=(
        Example(
            name="a script for a GPU, run on a laptop",
            evidence=healthy_cpu(workload=_FP16, steps={"updates": 5}),
            fires=True,
        ),
        Example(
            name="the same, with a loader that takes half of the time",
            evidence=healthy_cpu(workload=_FP16, phases={"data_wait": 0.5}),
            fires=True,
        ),
        Example(
            name="a model made half on a CPU",
            evidence=healthy_cpu(workload={"models": (model(parameter_dtypes={"float16": 12_000_000}),)}),
            fires=True,
        ),
        Example(name="bfloat16 on a CPU with AVX2 only", evidence=healthy_cpu(workload=_BF16), fires=True),
        Example(name="bfloat16 on a T4", evidence=healthy_cuda(hardware=_TURING), fires=True),
        Example(
            name="bfloat16 on a CPU with instructions for it",
            evidence=healthy_cpu(workload=_BF16, hardware=_WITH_BF16),
            fires=False,
        ),
        Example(
            name="bfloat16 on a CPU whose instructions are not known",
            evidence=healthy_cpu(workload=_BF16, hardware={"cpu": {"architecture": "arm64"}}),
            fires=False,
        ),
        Example(
            name="float16 on a CPU that waits for data 92% of the time",
            evidence=healthy_cpu(workload=_FP16, phases={"data_wait": 0.92}),
            fires=False,
        ),
        Example(name="float16 on an accelerator", evidence=healthy_cuda(workload=_FP16), fires=False),
        Example(name="bfloat16 on an H100", evidence=healthy_cuda(), fires=False),
        Example(name="float32", evidence=healthy_cpu(), fires=False),
    ),
)
