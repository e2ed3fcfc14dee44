"""Processor, and how much of it this process may use."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil

from ..types.hardware import Cpu
from ._files import entries, read_text

X86_SETS = (
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
    "amx_fp16",
)
"""Instruction sets by which oneDNN chooses its matrix kernels, named as in Linux."""

ARM_SETS: Mapping[str, str] = {
    "asimd": "neon",
    "asimdhp": "fp16",
    "asimddp": "dotprod",
    "sve": "sve",
    "sve2": "sve2",
    "i8mm": "i8mm",
    "bf16": "bf16",
    "sme": "sme",
}
"""Linux's name → the usual name."""

APPLE_SETS: Mapping[str, str] = {
    "hw.optional.neon": "neon",
    "hw.optional.arm.FEAT_DotProd": "dotprod",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.arm.FEAT_BF16": "bf16",
    "hw.optional.arm.FEAT_SME": "sme",
}

ARM_PARTS: Mapping[tuple[str, str], str] = {
    ("0x41", "0xd0c"): "Arm Neoverse N1",
    ("0x41", "0xd40"): "Arm Neoverse V1",
    ("0x41", "0xd49"): "Arm Neoverse N2",
    ("0x41", "0xd4f"): "Arm Neoverse V2",
    ("0x41", "0xd42"): "Arm Cortex-A78AE",
    ("0xc0", "0xac3"): "Ampere AmpereOne",
}
"""(implementer, part) → name of server and Jetson cores, since Arm kernels give numbers instead of names."""

CPUSETS = ("cpuset.cpus.effective", "cpuset/cpuset.effective_cpus", "cpuset/cpuset.cpus")
"""Files of version 2 and of version 1, as a container sees its own group."""

SYSCTL_TIMEOUT_S = 2.0


def cpu(*, quota_cpus: float | None, root: Path = Path("/")) -> Cpu:
    """Describe the processor; `quota_cpus` is the control groups' limit, `root` the folder with /proc and /sys."""
    info = _first_processor(read_text(root / "proc/cpuinfo") or "")
    logical = psutil.cpu_count() or 1
    affinity = _affinity_count(logical)
    return Cpu(
        model=_model(info),
        architecture=platform.machine(),
        cores_physical=psutil.cpu_count(logical=False),
        cores_logical=logical,
        affinity_count=affinity,
        quota_cpus=quota_cpus,
        usable_cpus=float(affinity) if quota_cpus is None else min(float(affinity), quota_cpus),
        instruction_sets=_instruction_sets(info),
        numa_nodes=max(1, _numa_nodes(root)),
        cpuset_count=_cpuset_count(root),
    )


def _cpuset_count(root: Path) -> int | None:
    """Return how many CPUs the control group allows: what is missing from these was taken by an affinity."""
    for name in CPUSETS:
        text = (read_text(root / "sys/fs/cgroup" / name) or "").strip()
        if text:
            ranges = [part.split("-") for part in text.split(",")]
            return sum(int(part[-1]) - int(part[0]) + 1 for part in ranges)
    return None


def _first_processor(cpuinfo: str) -> dict[str, str]:
    """Return the lines of the first processor, without a machine-wide trailer (Arm's "Hardware")."""
    block = re.split(r"\n\s*\n", cpuinfo, maxsplit=1)[0]
    pairs = (line.partition(":") for line in block.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _model(info: Mapping[str, str]) -> str:
    part = ARM_PARTS.get((info.get("CPU implementer", ""), info.get("CPU part", "")))
    name = info.get("model name") or part or _sysctl("machdep.cpu.brand_string")
    return name or platform.processor() or platform.machine() or "unknown"


def _affinity_count(logical: int) -> int:
    # macOS has no affinity, so every CPU may be used.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return logical


def _instruction_sets(info: Mapping[str, str]) -> tuple[str, ...]:
    if platform.system() == "Darwin":
        return tuple(name for key, name in APPLE_SETS.items() if _sysctl(key) == "1")
    x86 = set(info.get("flags", "").split())
    arm = set(info.get("Features", "").split())
    return (*(name for name in X86_SETS if name in x86), *(name for flag, name in ARM_SETS.items() if flag in arm))


def _numa_nodes(root: Path) -> int:
    # Nodes without a CPU (memory expanders, Grace's GPU memory) are no place to run on.
    nodes = entries(root / "sys/devices/system/node", "node[0-9]*")
    return sum(1 for node in nodes if read_text(node / "cpulist") != "")


def _sysctl(name: str) -> str | None:
    if platform.system() != "Darwin":
        return None
    try:
        done = subprocess.run(
            ["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, timeout=SYSCTL_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
