"""Set the precision of the forward pass: autocast around forward and loss, or tf32 matrix products.

fp16 has a smaller range than bf16: the loss is scaled, and gradients are unscaled before the script sees them. A step
whose gradients overflow is skipped, as with `torch.amp.GradScaler`. Skipped steps are counted and reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ._base import Knob, PlainObjects, Unable, Values, always, one_of

if TYPE_CHECKING:
    from ..types import Hardware, Workload

BF16_CAPABILITY = (8, 0)
"""First compute capability whose tensor cores take bf16 and tf32."""
FP16_CAPABILITY = (7, 0)
"""First compute capability with tensor cores; without them fp16 is slower than fp32 on most boards."""
BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")
"""CPU instructions for bf16 (the last is Arm's); without them bf16 is emulated, and slower than fp32."""
DTYPES = {"bf16": "bfloat16", "fp16": "float16"}
"""Values that autocast takes → torch's names."""
NAMES = (*DTYPES, "tf32")


def _values(hardware: Hardware, workload: Workload) -> Values:
    closed = _closed(workload)
    if closed is not None:
        return Values(why_closed=closed)
    return _of_cpu(hardware) if workload.device == "cpu" else _of_accelerator(hardware, workload)


def multiplies_bf16(hardware: Hardware) -> bool:
    """Return whether the CPU has instructions for bf16."""
    return any(name in BF16_INSTRUCTIONS for name in hardware.cpu.instruction_sets)


def _of_cpu(hardware: Hardware) -> Values:
    if not multiplies_bf16(hardware):
        return Values(why_closed=f"{hardware.cpu.model} has no bf16 instructions: it would only emulate them")
    return Values(values=("bf16",), why="the CPU has bf16 instructions")


def _of_accelerator(hardware: Hardware, workload: Workload) -> Values:
    capability = hardware.accelerators[0].compute_capability if hardware.accelerators else None
    if workload.device != "cuda" or capability is None:
        return Values(why_closed=f"no mixed precision is known to help on {workload.device}")
    if capability < BF16_CAPABILITY:
        return _before_bf16(capability, workload)
    # Not fp16: as fast as bf16 there, but with updates that overflow and are skipped.
    tf32 = ("tf32",) if workload.flags.matmul_precision == "highest" else ()
    return Values(values=("bf16", *tf32), why="the tensor cores take them" if tf32 else "the tensor cores take it")


def _before_bf16(capability: tuple[int, int], workload: Workload) -> Values:
    version = ".".join(map(str, capability))
    if workload.facts.closures:  # a step with an overflow could not be skipped
        why = "the optimizer is stepped with a closure"
    elif capability < FP16_CAPABILITY:
        why = "no tensor cores for fp16"
    else:
        return Values(values=("fp16",), why=f"compute capability {version} has tensor cores for fp16, not for bf16")
    return Values(why_closed=f"compute capability {version} has no bf16, and {why}")


def _closed(workload: Workload) -> str | None:
    if workload.flags.autocast_dtype is not None:
        return f"the script runs its own autocast ({workload.flags.autocast_dtype})"
    if workload.flags.grad_scaler:
        return "the script scales its own loss"
    dtypes = {dtype for model in workload.models for dtype in model.parameter_dtypes}
    if "float32" not in dtypes:
        return f"the weights are not in float32 but in {', '.join(sorted(dtypes)) or 'no model seen'}"
    return None


def _plain(_objects: PlainObjects, value: Any) -> str | None:
    if value == "fp16":
        return "scale the loss with torch.amp.GradScaler, or use advisor.apply()"
    if value == "tf32":
        import torch

        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
    return None


def _in_accelerate(value: Any, _training: Any) -> Mapping[str, Any] | Unable:
    if value in DTYPES:
        return {"mixed_precision": value}
    return Unable("mixed_precision has no such value", content={"mixed_precision": "no"})


def _in_deepspeed(value: Any, _training: Any) -> Mapping[str, Any] | Unable:
    """Autocast was measured; DeepSpeed's `bf16` and `fp16` cast the weights."""
    return {"torch_autocast": {"enabled": True, "dtype": DTYPES[value]}} if value in DTYPES else Unable()


def _in_lightning(value: Any, _training: Any) -> Mapping[str, Any] | Unable:
    names = {"bf16": "bf16-mixed", "fp16": "16-mixed"}
    return {"trainer": {"precision": names[value]}} if value in names else Unable("the Trainer has no such precision")


def _in_python(value: Any, _training: Any) -> Mapping[str, Any]:
    if value in DTYPES:
        return {"autocast": f"torch.{DTYPES[value]}", "scaled": value == "fp16"}
    return {
        "set_up": ['torch.set_float32_matmul_precision("high")', "torch.backends.cudnn.allow_tf32 = True"],
    }


def _in_torchrun(value: Any, _training: Any) -> Mapping[str, Any] | Unable:
    return {"environment": {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": 1}} if value == "tf32" else Unable()


def _described(workload: Workload, value: Any) -> Workload:
    flags = workload.flags
    if value == "tf32":
        return replace(workload, flags=replace(flags, matmul_precision="high", cudnn_tf32=True))
    return replace(workload, flags=replace(flags, autocast_dtype=DTYPES[value]))


KNOB = Knob(
    id="precision",
    title="dtype of the forward pass",
    values=_values,
    example="bf16",
    effect=always("numerics"),
    apply=lambda controls, value: controls.precision.set(value),
    restore=lambda controls: controls.precision.restore(),
    tried_unprompted=1,
    usual_on_accelerator=True,
    shortens_computing=True,
    wrong=one_of(*NAMES),
    by_hand="run forward and loss under autocast to {value}",
    by_hand_of={"tf32": 'torch.set_float32_matmul_precision("high")'},
    chosen_for=("device", "torch"),
    fails_in="forward",
    suspicion=1,
    rounding={
        "bf16": "most of the forward pass runs in bf16, with two to three decimal digits; weights stay in float32",
        "fp16": "most of the forward pass runs in fp16, with three decimal digits; the loss is scaled, and an update "
        "with overflowing gradients is skipped",
        "tf32": "matrix products use factors in TF32, with three decimal digits, and sums in float32",
    },
    autocast=DTYPES,
    plain=_plain,
    formats={
        "accelerate": _in_accelerate,
        "deepspeed": _in_deepspeed,
        "lightning": _in_lightning,
        "python": _in_python,
        "torchrun": _in_torchrun,
        "transformers": lambda value, _training: {value: True},
    },
    changes="Losses differ in their last digits. Weights stay in float32, also in checkpoints. Activation memory is "
    "about halved (not with tf32).",
    set_on=("model", "forward"),
    described=_described,
)
