"""Set the precision of the forward pass: autocast around forward and loss, or tf32 matrix products.

fp16 has a smaller range than bf16: the loss is scaled, and gradients are unscaled before the script sees them. A step
whose gradients overflow is skipped, as with `torch.amp.GradScaler`. Skipped steps are counted and reported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import Knob, Values

if TYPE_CHECKING:
    from ..types import Hardware, Workload
    from ._controls import Controls

BF16_CAPABILITY = (8, 0)
"""First compute capability whose tensor cores take bf16 and tf32."""
FP16_CAPABILITY = (7, 0)
"""First compute capability with tensor cores; without them fp16 is slower than fp32 on most boards."""
BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")
"""CPU instructions for bf16 (the last is Arm's); without them bf16 is emulated, and slower than fp32."""
NAMES = ("bf16", "fp16", "tf32")


def _wrong(value: Any) -> str | None:
    return None if value in NAMES else f"{value!r} is none of {', '.join(NAMES)}"


def _values(hardware: Hardware, workload: Workload) -> Values:
    closed = _closed(workload)
    if closed is not None:
        return Values(why_closed=closed)
    return _of_cpu(hardware) if workload.device == "cpu" else _of_accelerator(hardware, workload)


def _of_cpu(hardware: Hardware) -> Values:
    if not any(name in BF16_INSTRUCTIONS for name in hardware.cpu.instruction_sets):
        return Values(why_closed=f"{hardware.cpu.model} has no bf16 instructions: it would only emulate them")
    return Values(values=("bf16",), why="the CPU has bf16 instructions")


def _of_accelerator(hardware: Hardware, workload: Workload) -> Values:
    capability = hardware.accelerators[0].compute_capability if hardware.accelerators else None
    if workload.device != "cuda" or capability is None:
        return Values(why_closed=f"no mixed precision is known to help on {workload.device}")
    closures = workload.facts.closures  # a step with an overflow could not be skipped
    fp16 = () if closures or capability < FP16_CAPABILITY else ("fp16",)
    if capability < BF16_CAPABILITY:
        version = ".".join(map(str, capability))
        if not fp16:
            why = "the optimizer is stepped with a closure" if closures else "no tensor cores for fp16"
            return Values(why_closed=f"compute capability {version} has no bf16, and {why}")
        return Values(values=fp16, why=f"compute capability {version} has tensor cores for fp16, and none for bf16")
    tf32 = ("tf32",) if workload.flags.matmul_precision == "highest" else ()
    return Values(values=("bf16", *fp16, *tf32), why="the tensor cores take them")


def _closed(workload: Workload) -> str | None:
    if workload.flags.autocast_dtype is not None:
        return f"the script runs its own autocast ({workload.flags.autocast_dtype})"
    if workload.flags.grad_scaler:
        return "the script scales its own loss"
    dtypes = {dtype for model in workload.models for dtype in model.parameter_dtypes}
    if "float32" not in dtypes:
        return f"the weights are not in float32 but in {', '.join(sorted(dtypes)) or 'no model seen'}"
    return None


def _tier(_hardware: Hardware, _workload: Workload) -> str:
    return "numerics"


def _apply(controls: Controls, value: Any) -> None:
    controls.precision.set(value)


def _restore(controls: Controls) -> None:
    controls.precision.restore()


KNOB = Knob(
    id="precision",
    title="dtype of the forward pass",
    scope="live",
    values=_values,
    tier=_tier,
    apply=_apply,
    restore=_restore,
    usual_on_accelerator=True,
    shortens_computing=True,
    wrong=_wrong,
    by_hand="run forward and loss under autocast to {value}",
    by_hand_of={"tf32": 'torch.set_float32_matmul_precision("high")'},
    chosen_for=("device", "torch"),
    fails_in="forward",
    suspicion=1,
    changes="Losses differ in their last digits. Weights stay in float32, also in checkpoints. Activation memory is "
    "about halved (not with tf32).",
    set_on=("model", "forward"),
)
