"""Store convolution weights with channels last (`torch.channels_last`), the layout of fast convolution kernels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ._base import NO_MODEL, Knob, PlainObjects, Values, always, one_of
from ._layers import convolutions

if TYPE_CHECKING:
    from ..types import Hardware, Workload

CHANNELS_LAST = "channels_last"


def _values(_hardware: Hardware, workload: Workload) -> Values:
    count = convolutions(workload)
    if not count:
        return Values(why_closed="the model has no 2-D convolutions")
    with_format = [model for model in workload.models if model.channels_last is not None]
    if not with_format:
        return Values(
            why_closed=f"the kernels of the {count} convolutions are 1 × 1, for which both formats are the same"
        )
    if all(model.channels_last for model in with_format):
        return Values(why_closed="the weights are already in channels_last")
    compiled = next((model.class_name for model in with_format if model.compiled), None)
    if compiled is not None:
        return Values(why_closed=f"{compiled} is compiled: the compiler chooses the format of its convolutions")
    spread = next((model.class_name for model in with_format if model.distributed), None)
    if spread is not None:
        return Values(
            why_closed=f"{spread} is wrapped for several processes: its weights are in buffers of the wrapper"
        )
    return Values(values=(CHANNELS_LAST,), why=f"{count} convolutions in the default format")


def _plain(objects: PlainObjects, value: Any) -> str | None:
    import torch

    if objects.model is None:
        return NO_MODEL
    objects.model = objects.model.to(memory_format=getattr(torch, value))
    return None


def _described(workload: Workload, _value: Any) -> Workload:
    models = tuple(replace(model, channels_last=model.channels_last is not None) for model in workload.models)
    return replace(workload, models=models)


KNOB = Knob(
    id="memory_format",
    title="memory layout of convolution weights",
    values=_values,
    example="channels_last",
    effect=always("numerics"),
    apply=lambda controls, value: controls.memory_format.set(value),
    restore=lambda controls: controls.memory_format.restore(),
    usual_on_accelerator=True,
    shortens_computing=True,
    wrong=one_of(CHANNELS_LAST),
    after_first_update=True,
    by_hand="model = model.to(memory_format=torch.{value})",
    chosen_for=("device", "torch"),
    fails_in="forward",
    suspicion=2,
    plain=_plain,
    formats={
        "python": lambda value, _training: {"prepare": [f"model = model.to(memory_format=torch.{value})"]},
    },
    changes="Losses may differ in their last digits; a forward that flattens with `view` needs `reshape`.",
    hooks=(),
    set_on=("model",),
    described=_described,
)
