"""Let cuDNN time its algorithms for each shape and keep the fastest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import FOR_ACCELERATORS, Knob, PlainObjects, Values, always, key, noticing, truth, with_flags
from ._layers import convolutions

if TYPE_CHECKING:
    from ..types import Hardware, Workload
    from ._controls import Controls


def _values(_hardware: Hardware, workload: Workload) -> Values:
    flags = workload.flags
    if workload.device != "cuda":
        other = f"training runs on {workload.device}: cuDNN is for CUDA devices"
        return Values(why_closed=FOR_ACCELERATORS if workload.device == "cpu" else other)
    if flags.cudnn_benchmark:
        return Values(why_closed="the script already sets torch.backends.cudnn.benchmark")
    if flags.deterministic:
        return Values(why_closed="the script requests deterministic algorithms, which exclude autotuning")
    if not convolutions(workload, any_rank=True):
        return Values(why_closed="the model has no convolutions")
    if workload.fixed_shapes is False:
        return Values(why_closed="batch shapes vary: every new shape would be autotuned")
    return Values(values=(True,), why=f"{convolutions(workload, any_rank=True)} convolutions on batches of one shape")


def _apply(controls: Controls, value: Any) -> None:
    import torch

    controls.saved.setdefault("cudnn_benchmark", torch.backends.cudnn.benchmark)
    torch.backends.cudnn.benchmark = value


def _restore(controls: Controls) -> None:
    import torch

    if "cudnn_benchmark" in controls.saved:
        torch.backends.cudnn.benchmark = controls.saved.pop("cudnn_benchmark")


def _plain(_objects: PlainObjects, value: Any) -> None:
    import torch

    torch.backends.cudnn.benchmark = value


KNOB = Knob(
    id="cudnn_benchmark",
    title="autotuning of cuDNN's kernels",
    values=_values,
    example=True,
    effect=always("numerics"),  # another algorithm rounds differently; the winner may differ from run to run
    apply=_apply,
    restore=_restore,
    usual_on_accelerator=True,
    wrong=truth,
    by_hand="torch.backends.cudnn.benchmark = {value}",
    chosen_for=("device", "torch"),
    fails_in="forward",
    suspicion=4,
    noticed=noticing("Start-up", "cuDNN times its kernels at the first batch of each shape"),
    plain=_plain,
    formats={
        "lightning": key("trainer", "benchmark"),
        "python": lambda value, _training: {"set_up": [f"torch.backends.cudnn.benchmark = {value!r}"]},
    },
    changes="The first update of each shape takes longer; losses may differ in their last digits, and from run to run.",
    hooks=(),
    described=with_flags(cudnn_benchmark=lambda value: value),
)
