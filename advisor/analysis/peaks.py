"""Peak rates of the hardware in the dtype that the training's products really run in."""

from __future__ import annotations

from collections.abc import Mapping

from ..types import Hardware, Rate, Workload

_AUTOCAST = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
MIXED = "tf32 and fp32"


def peak_used(hardware: Hardware, workload: Workload, of_convolutions: float | None) -> tuple[Rate | None, str]:
    """Return the peak for the training's products, None if it is not known, and its dtype.

    `of_convolutions` is the fraction of the FLOPs in convolutions: in float32 they take TF32 by default
    (`torch.backends.cudnn.allow_tf32`), and matrix products do not.
    """
    known, dtype = _known(hardware, workload.device), _dtype(workload)
    if dtype != "fp32" or workload.device == "cpu" or "tf32" not in known or "fp32" not in known:
        return known.get(dtype), dtype
    part = min(max(of_convolutions or 0.0, 0.0), 1.0)
    fast = part if workload.flags.cudnn_tf32 else 0.0
    fast += 1 - part if workload.flags.matmul_precision != "highest" else 0.0
    if fast <= 0.0 or fast >= 1.0:
        dtype = "tf32" if fast else "fp32"
        return known[dtype], dtype
    # The time of both parts at their own peaks.
    value = 1 / (fast / known["tf32"].value + (1 - fast) / known["fp32"].value)
    source = f"{fast:.0%} of the FLOPs in TF32; {known['tf32'].source}"
    return Rate(value=value, basis=known["fp32"].basis, source=source), MIXED


def bandwidth(hardware: Hardware, device: str) -> Rate | None:
    """Return the bandwidth of the memory that the training computes in."""
    if device == "cpu":
        return hardware.cpu_memory_bandwidth
    return hardware.accelerators[0].memory_bandwidth if hardware.accelerators else None


def _known(hardware: Hardware, device: str) -> Mapping[str, Rate]:
    if device == "cpu":
        return hardware.cpu_peak_flops
    return hardware.accelerators[0].peak_flops if hardware.accelerators else {}


def _dtype(workload: Workload) -> str:
    """Return the dtype of autocast, or else that of most weights."""
    if workload.flags.autocast_dtype is not None:
        return _AUTOCAST.get(workload.flags.autocast_dtype, "fp32")
    counts: dict[str, int] = {}
    for model in workload.models:
        for name, elements in model.parameter_dtypes.items():
            counts[name] = counts.get(name, 0) + elements
    return _AUTOCAST.get(max(counts, key=lambda name: counts[name], default="float32"), "fp32")
