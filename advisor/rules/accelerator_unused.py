"""An accelerator is there, torch can use it, and the training runs on the CPU."""

from __future__ import annotations

from ..types import Accelerator, Ceiling, Evidence, Severity
from ._base import Example, Hit, Judgement, Rule, Threshold
from ._examples import evolve, gpu, healthy_cpu, healthy_cuda
from ._read import compute_share, percent

LARGE_FLOPS = 1e9
"""FLOPs of an update that take 50 ms on a CPU core and less than 1 ms on any accelerator."""
SMALL_FLOPS = 1e7
"""FLOPs of an update below which an accelerator spends its time on launches, and the CPU may well be faster."""


def usable_accelerators(evidence: Evidence) -> tuple[Accelerator, ...]:
    build = evidence.hardware.torch
    if build is None or not build.accelerator_available:
        return ()
    return evidence.hardware.accelerators


def judge(evidence: Evidence) -> Judgement:
    found = usable_accelerators(evidence)
    if evidence.on_accelerator or not found:
        return None
    share = compute_share(evidence)
    return Hit(
        share=share,
        severity=_severity(evidence.compute.flops_per_update),
        evidence=f"Training runs on the CPU ({percent(share)} of the loop is forward and backward), although torch "
        f"can use {found[0].name}.",
        advice=f'Move the model and the batches to it: `device = "{_device_name(found[0])}"`, `model.to(device)`, '
        "`batch.to(device)`.",
        ceiling=Ceiling.from_share(share),
    )


def _severity(flops: int | None) -> Severity:
    if flops is None:
        return "warning"
    return "critical" if flops >= LARGE_FLOPS else "warning" if flops >= SMALL_FLOPS else "info"


def _device_name(accelerator: Accelerator) -> str:
    return "cuda" if accelerator.kind in ("cuda", "rocm", "other") else accelerator.kind


_IDLE_GPU = {"hardware": {"accelerators": (gpu(),), "torch": {"cuda": "13.0", "accelerator_available": True}}}

RULE = Rule(
    id="accelerator_unused",
    title="an available accelerator is not used",
    looks_at="The device of the forward pass, the accelerators found, whether torch can use one, and the FLOPs of an "
    "update.",
    thresholds=(
        Threshold(name="LARGE_FLOPS", value=LARGE_FLOPS, reason="50 ms on a CPU core, below 1 ms on any accelerator"),
        Threshold(name="SMALL_FLOPS", value=SMALL_FLOPS, reason="below it launches cost more than the work on the CPU"),
    ),
    source="A common omission in training scripts; no published profiler looks for an idle accelerator.",
    url="https://docs.pytorch.org/docs/stable/accelerator.html",
    judge=judge,
    needs_updates=False,
    examples=(
        Example(name="a transformer on the CPU beside an H100", evidence=healthy_cpu(**_IDLE_GPU), fires=True),
        Example(
            name="the same, FLOPs not counted",
            evidence=evolve(healthy_cpu(**_IDLE_GPU), {"compute": {"flops_per_update": None}}),
            fires=True,
        ),
        Example(name="no accelerator", evidence=healthy_cpu(), fires=False),
        Example(name="the accelerator is used", evidence=healthy_cuda(), fires=False),
        Example(
            name="torch cannot use it, which another rule reports",
            evidence=healthy_cpu(hardware={"accelerators": (gpu(),)}),
            fires=False,
        ),
    ),
)
