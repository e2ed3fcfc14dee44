"""Change the dtype of the script's own autocast, where the hardware is slow in the one that the script chose.

float16 on a CPU, and bfloat16 where it is only emulated, can be ten times as slow as float32. The knob `precision`
leaves such scripts alone, as they have chosen theirs. This one enters their contexts with another dtype, or switched
off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from ._base import Knob, PlainObjects, Values, always, one_of, with_flags
from .precision import BF16_CAPABILITY, DTYPES, multiplies_bf16

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..types import Hardware, Workload
    from ._controls import Controls

ID = "autocast_dtype"
OFF = "fp32"
"""Value that switches the script's autocast off."""
FLOAT16, BFLOAT16 = DTYPES["fp16"], DTYPES["bf16"]


def _values(hardware: Hardware, workload: Workload) -> Values:
    own = workload.flags.autocast_dtype
    if own is None:
        return Values(why_closed="the script runs no autocast of its own")
    if workload.device == "cpu":
        return _of_cpu(hardware, own)
    capability = hardware.accelerators[0].compute_capability if hardware.accelerators else None
    if own != BFLOAT16 or capability is None or capability >= BF16_CAPABILITY:
        return Values(why_closed=f"{workload.device} is not known to be slow in the script's {own}")
    fp16 = ("fp16",) if workload.flags.grad_scaler else ()  # its range is smaller: the loss must be scaled
    return Values(values=(*fp16, OFF), why=f"compute capability {'.'.join(map(str, capability))} only emulates {own}")


def _of_cpu(hardware: Hardware, own: str) -> Values:
    has_bf16 = multiplies_bf16(hardware)
    if own == FLOAT16:
        return Values(values=("bf16", OFF) if has_bf16 else (OFF,), why="kernels of CPUs are slow in float16")
    if has_bf16 or own != BFLOAT16:
        return Values(why_closed=f"the CPU is not known to be slow in the script's {own}")
    return Values(values=(OFF,), why=f"{hardware.cpu.model} only emulates {own}")


def _apply(controls: Controls, value: Any) -> None:
    from torch.amp import autocast_mode

    _restore(controls)
    original = autocast_mode.autocast.__enter__
    ours = _entering(original, value, lambda: ID in controls.saved)
    controls.saved[ID] = (original, ours)
    autocast_mode.autocast.__enter__ = ours  # type: ignore[method-assign]


def _entering(original: Callable[[Any], Any], value: str, is_set: Callable[[], bool]) -> Callable[[Any], Any]:
    import torch

    dtype = None if value == OFF else getattr(torch, DTYPES[value])

    def __enter__(context: Any) -> Any:  # noqa: N807
        own = context._enabled, context.fast_dtype
        if context._enabled and is_set():
            context._enabled, context.fast_dtype = dtype is not None, dtype or own[1]
        try:
            return original(context)
        finally:
            context._enabled, context.fast_dtype = own

    return __enter__


def _restore(controls: Controls) -> None:
    from torch.amp import autocast_mode

    original, ours = controls.saved.pop(ID, (None, None))
    # If somebody has replaced it since, theirs stays, and ours below it does nothing any more.
    if ours is not None and autocast_mode.autocast.__enter__ is ours:
        autocast_mode.autocast.__enter__ = original  # type: ignore[method-assign]


def _plain(_objects: PlainObjects, value: Any) -> str:
    return f"write {KNOB.described_by_hand(value)} in the script"


def _in_trainer(value: Any, _training: Any) -> Mapping[str, Any]:
    """Return the arguments of transformers' Trainer, which makes its autocast from them."""
    return {"fp16": value == "fp16", "bf16": value == "bf16"}


KNOB = Knob(
    id=ID,
    title="dtype of the script's own autocast",
    values=_values,
    example="bf16",
    effect=always("numerics"),
    apply=_apply,
    restore=_restore,
    wrong=one_of(*DTYPES, OFF),
    by_hand="torch.autocast(…, dtype=torch.{value})",
    by_hand_of={
        **{value: f"torch.autocast(…, dtype=torch.{name})" for value, name in DTYPES.items()},
        OFF: "torch.autocast(…, enabled=False)",
    },
    chosen_for=("device", "cpus", "torch"),
    rounding={
        "bf16": "operators under the script's autocast run in bf16, with two to three decimal digits",
        "fp16": "operators under the script's autocast run in fp16, with three decimal digits",
        OFF: "the script's autocast is off: everything is computed in float32",
    },
    plain=_plain,
    formats={"transformers": _in_trainer},
    excludes=("precision",),
    opened_by=("slow_dtype",),
    described=with_flags(autocast_dtype=DTYPES.get),
    changes="Losses differ in their last digits. Weights stay as they are. A loss that the script scales stays scaled.",
    hooks=(),
)
