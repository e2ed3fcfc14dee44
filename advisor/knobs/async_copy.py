"""Copy the loader's batches to the device without waiting for each copy (`non_blocking=True`).

It applies to tensors that the loader delivers in page-locked memory. The script may prepare its next operators while
the device still copies; the device does everything in the same order as before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._base import Knob, always, noticing, truth
from ._loader import copied_batches

if TYPE_CHECKING:
    from ..types import Hardware, Workload
    from ._base import Values

TREATMENT = "without_waiting"


def _values(_hardware: Hardware, workload: Workload) -> Values:
    return copied_batches(workload, "the script waits for each copy of a batch")


KNOB = Knob(
    id="async_copy",
    title="copies of batches without waiting",
    values=_values,
    example=True,
    effect=always("exact"),
    apply=lambda controls, value: controls.device_copies.switch(TREATMENT, value, by="async_copy"),
    restore=lambda controls: controls.device_copies.switch(TREATMENT, False),
    usual_on_accelerator=True,
    wrong=truth,
    by_hand="batch.to(device, non_blocking=True) for batches in page-locked memory",
    chosen_for=("transfers",),
    needs="pin_memory",
    noticed=noticing("Batches", "the script must not write to a batch on the host after copying it"),
    changes="A batch must stay as it is on the host after its copy to the device has begun; a script that writes to it "
    "is noticed, and waits again.",
    hooks=("loader", "model"),
)
