"""Compute matrix products of float32 tensors with shorter factors, where the knob `precision` does not.

On a CPU with bf16 instructions, `medium` multiplies factors of bf16 and sums in float32; weights, activations and
gradients stay in float32, so nothing is cast back and forth as under autocast. On CUDA, `high` (TF32) is for scripts
that run their own autocast: it reaches the products that autocast leaves in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import Knob, PlainObjects, Values, always, one_of
from .precision import BF16_CAPABILITY, multiplies_bf16

if TYPE_CHECKING:
    from ..types import Hardware, Workload
    from ._controls import Controls

HIGH, MEDIUM = "high", "medium"
BACKENDS = ("mkldnn", "cuda")
"""Backends of torch that keep a precision of their own beside the common one."""


def _values(hardware: Hardware, workload: Workload) -> Values:
    flags = workload.flags
    if flags.matmul_precision != "highest":
        return Values(why_closed=f"the script sets its own precision of matrix products ({flags.matmul_precision})")
    if workload.device == "cuda":
        return _of_cuda(hardware, workload)
    if workload.device != "cpu":
        return Values(why_closed=f"{workload.device} has one precision of matrix products")
    if not multiplies_bf16(hardware):
        return Values(why_closed=f"{hardware.cpu.model} has no bf16 instructions")
    if flags.autocast_dtype is not None:
        return Values(why_closed=f"matrix products run under the script's autocast ({flags.autocast_dtype})")
    return Values(values=(MEDIUM,), why="the CPU has bf16 instructions")


def _of_cuda(hardware: Hardware, workload: Workload) -> Values:
    capability = hardware.accelerators[0].compute_capability if hardware.accelerators else None
    if capability is None or capability < BF16_CAPABILITY:
        return Values(why_closed="the device has no tensor cores for TF32")
    if workload.flags.autocast_dtype is None:
        return Values(why_closed="precision=tf32 covers it")
    return Values(values=(HIGH,), why="the script's autocast leaves some products in float32")


def _apply(controls: Controls, value: Any) -> None:
    import torch

    backends: Any = torch.backends
    own = {name: getattr(getattr(backends, name).matmul, "fp32_precision", None) for name in BACKENDS if _has(name)}
    controls.saved.setdefault("matmul_precision", (torch.get_float32_matmul_precision(), own))
    torch.set_float32_matmul_precision(value)


def _has(backend: str) -> bool:
    """Return whether this version of torch keeps a precision for the backend."""
    import torch

    return hasattr(getattr(getattr(torch.backends, backend, None), "matmul", None), "fp32_precision")


def _restore(controls: Controls) -> None:
    import torch

    if "matmul_precision" in controls.saved:
        common, own = controls.saved.pop("matmul_precision")
        torch.set_float32_matmul_precision(common)
        for name, value in own.items():  # the common setter writes to these, and does not bring them back
            getattr(torch.backends, name).matmul.fp32_precision = value


def _plain(_objects: PlainObjects, value: Any) -> None:
    import torch

    torch.set_float32_matmul_precision(value)


KNOB = Knob(
    id="matmul_precision",
    title="precision of float32 matrix products",
    values=_values,
    example=MEDIUM,
    effect=always("numerics"),
    apply=_apply,
    restore=_restore,
    shortens_computing=True,
    wrong=one_of(HIGH, MEDIUM),
    by_hand="torch.set_float32_matmul_precision({value!r})",
    chosen_for=("device", "cpus", "torch"),
    rounding={
        MEDIUM: "matrix products use factors in bf16, with two to three decimal digits, and sums in float32",
        HIGH: "matrix products use factors in TF32, with three decimal digits, and sums in float32",
    },
    plain=_plain,
    formats={
        "python": lambda value, _training: {"set_up": [f"torch.set_float32_matmul_precision({value!r})"]},
    },
    excludes=("precision",),  # it already shortens the factors of most products
    opened_by=("precision_unused", "tf32_off"),
    changes="Losses differ in their last digits. All tensors stay in float32.",
    hooks=(),
)
