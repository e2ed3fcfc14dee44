"""Gradients communicated with fewer digits: half the bytes between processes that train together.

torch's hook `bf16_compress_hook` casts each bucket to bfloat16 before it is averaged. It pays where communication is
exposed. Only the copies of `parallelism=ddp` have buckets; the first update is averaged in full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..refused import Refused
from ._base import Knob, Values, always, one_of, unable
from .parallelism import why_single

if TYPE_CHECKING:
    from ..types import Hardware, Workload
    from ._controls import Controls


ON_CUDA = "torch compresses gradients between CUDA devices only, by NCCL"


def _values(hardware: Hardware, workload: Workload) -> Values:
    why = ON_CUDA if workload.device == "cpu" else why_single(hardware, workload)
    return Values(why_closed=why) if why is not None else Values(values=("bf16",), why="half the bytes are sent")


def _apply(controls: Controls, value: Any) -> None:
    import torch

    if not torch.cuda.is_available():
        raise Refused(ON_CUDA)
    controls.parallel.choose("compression", value)


KNOB = Knob(
    id="gradient_compression",
    title="precision in which gradients are communicated",
    values=_values,
    example="bf16",
    effect=always("numerics"),
    apply=_apply,
    restore=lambda controls: controls.parallel.choose("compression", None),
    scope="launch",
    starts_ranks=True,
    wrong=one_of("bf16"),
    needs="processes",
    rounding={"bf16": "gradients are rounded to bf16 before they are averaged"},
    by_hand="model.register_comm_hook(None, torch.distributed.algorithms.ddp_comm_hooks.default_hooks."
    "{value}_compress_hook) on the DistributedDataParallel",
    chosen_for=("device",),
    formats={"torchrun": unable("a launcher only starts processes")},
    changes="Gradients have the eight significant bits of bf16 when they are averaged.",
)
