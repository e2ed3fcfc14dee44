"""An accelerator is there, and torch was built without support for any."""

from __future__ import annotations

from ..types import Evidence
from ._base import Example, Hit, Judgement, Rule
from ._examples import gpu, healthy_cpu, healthy_cuda

NEEDS_A_BUILD = ("cuda", "rocm", "xpu")
"""Accelerators that torch must be built for; others come with every build or with a package of their own."""


def judge(evidence: Evidence) -> Judgement:
    build = evidence.hardware.torch
    found = [each for each in evidence.hardware.accelerators if each.kind in NEEDS_A_BUILD]
    if build is None or not found or build.accelerator_available or build.cuda or build.rocm:
        return None
    return Hit(
        severity="critical",
        evidence=f"{found[0].name} is available, but torch {build.version} was built for CPUs only.",
        advice="Install the torch build for this accelerator; the selector at the URL below gives the command.",
    )


RULE = Rule(
    id="cpu_only_build",
    title="torch was built without support for the accelerator",
    headline="runs a CPU build of PyTorch on a machine with an accelerator",
    looks_at="The accelerators that the drivers report, and the platforms torch was built for.",
    thresholds=("NEEDS_A_BUILD",),
    source="A package index that serves the CPU build is a common mistake; no published profiler checks for it.",
    url="https://pytorch.org/get-started/locally/",
    judge=judge,
    needs_updates=False,
    examples=(
        Example(name="an H100 and a CPU build", evidence=healthy_cpu(hardware={"accelerators": (gpu(),)}), fires=True),
        Example(
            name="two Radeon devices and a CPU build",
            evidence=healthy_cpu(
                hardware={"accelerators": (gpu(kind="rocm", name="MI300X"), gpu(kind="rocm", name="MI300X", index=1))}
            ),
            fires=True,
        ),
        Example(name="no accelerator", evidence=healthy_cpu(), fires=False),
        Example(name="a CUDA build", evidence=healthy_cuda(), fires=False),
        Example(
            name="a CUDA build whose driver does not work: not the build's fault",
            evidence=healthy_cpu(hardware={"accelerators": (gpu(),), "torch": {"cuda": "13.0"}}),
            fires=False,
        ),
    ),
)
