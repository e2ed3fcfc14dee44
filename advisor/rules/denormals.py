"""Operators compute with denormal numbers, below 1.2e-38 in float32, in which many CPUs are tens of times slower."""

from __future__ import annotations

from ..types import Ceiling, Evidence, OperatorUse
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, severity_of
from ._examples import healthy_cpu, healthy_cuda
from ._operator_examples import operators
from ._read import percent, phase_share, traced_operators

SLOW = 2.0
"""Slowdown in such numbers, tried on the script's CPU, from which they matter: some CPUs compute with them as fast as
with others, some a hundred times as slowly."""
SAVES = 0.5
"""Part of the possible saving that is promised: an operator may hold a few such numbers among many others."""


def judge(evidence: Evidence) -> Judgement:
    used = traced_operators(evidence)
    if used is None or used.denormal_seconds is None or not used.seconds:
        return None
    slowdown = used.denormal_slowdown
    if slowdown is None or slowdown < SLOW:
        return None
    share = used.denormal_seconds / used.seconds * phase_share(evidence, "forward", "backward", "optimizer")
    most = share * (1 - 1 / slowdown)
    if most < WARNING_SHARE:
        return None
    return Hit(
        share=share,
        severity=severity_of(SAVES * most, least="warning"),
        evidence=f"Operators that take {percent(share)} of the loop compute with denormal numbers, below 1.2e-38 "
        f"(most of it in {', '.join(used.denormal_operators)}). A product of such numbers takes {slowdown:.0f} times "
        "as long on this CPU.",
        advice="Call `torch.set_flush_denormal(True)` right after `import torch`, before torch starts its threads: "
        "such numbers then become zero, which no training notices. Look for what makes them, too: activations or "
        "weights that decay without a limit, an epsilon below 1e-30, a mask that multiplies by a number near zero.",
        ceiling=Ceiling.from_share(SAVES * most, high=most),
    )


def _denormal(seconds: float, *names: str, slowdown: float = 60.0) -> dict[str, OperatorUse]:
    return operators(denormal_seconds=seconds, denormal_operators=names, denormal_slowdown=slowdown)


RULE = Rule(
    id="denormals",
    title="arithmetic with denormal numbers",
    headline="computes with numbers so small that the CPU is slow in them",
    looks_at="Samples of what the operators of traced updates take and give, and the time of those that hold denormal "
    "numbers; how slow this CPU is in them, tried on one product.",
    thresholds=("SLOW", "SAVES", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="Intel's and AMD's optimization manuals: an assist by microcode for each operation with such a number.",
    url="https://docs.pytorch.org/docs/stable/generated/torch.set_flush_denormal.html",
    applies=lambda evidence: not evidence.on_accelerator,
    judge=judge,
    knobs=("flush_denormal",),
    examples=(
        Example(
            name="weights that have decayed to 1e-40",
            evidence=healthy_cpu(trace=_denormal(0.08, "addmm", "mm")),
            fires=True,
        ),
        Example(
            name="a quarter of the time",
            evidence=healthy_cpu(trace=_denormal(0.025, "mul")),
            fires=True,
        ),
        Example(
            name="a square of small gradients in one operator",
            evidence=healthy_cpu(trace=_denormal(0.004, "_foreach_addcmul_")),
            fires=False,
        ),
        Example(
            name="a CPU that is as fast in them",
            evidence=healthy_cpu(trace=_denormal(0.08, "mm", slowdown=1.02)),
            fires=False,
        ),
        Example(name="no such number", evidence=healthy_cpu(trace=operators(denormal_seconds=0.0)), fires=False),
        Example(
            name="on an accelerator",
            evidence=healthy_cuda(trace=_denormal(0.08, "mm")),
            fires=False,
        ),
    ),
)
