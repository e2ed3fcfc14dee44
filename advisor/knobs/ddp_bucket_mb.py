"""Size of the buckets in which gradients are communicated while the backward still computes.

Larger buckets are fewer messages, smaller ones begin earlier. torch's own size is 25 MiB. Only the copies of
`parallelism=ddp` have buckets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import Knob, Values, always, unable, whole_number
from .parallelism import why_single

if TYPE_CHECKING:
    from ..types import Hardware, Workload
    from ._controls import Controls

SIZES = (100, 5)
"""Sizes to try: for networks of high latency, and for a backward that would end before the first bucket is full."""


def _values(hardware: Hardware, workload: Workload) -> Values:
    why = why_single(hardware, workload)
    return Values(why_closed=why) if why is not None else Values(values=SIZES, why="torch's own size is 25 MiB")


def _apply(controls: Controls, value: Any) -> None:
    controls.parallel.choose("bucket_cap_mb", value)


KNOB = Knob(
    id="ddp_bucket_mb",
    title="MiB of gradients communicated at once",
    values=_values,
    example=100,
    effect=always("numerics"),
    apply=_apply,
    restore=lambda controls: controls.parallel.choose("bucket_cap_mb", None),
    scope="launch",
    starts_ranks=True,
    wrong=whole_number(1, 100_000),
    needs="processes",
    by_hand="DistributedDataParallel(model, bucket_cap_mb={value})",
    chosen_for=("device",),
    formats={"torchrun": unable("a launcher only starts processes")},
    changes="The buckets take as much memory as the gradients, whatever their size.",
)
