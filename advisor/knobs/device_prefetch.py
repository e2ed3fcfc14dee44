"""Copy the next batch to the device while the current update runs, on a stream of its own.

The script's own `batch.to(device)` then finds the copy there. The copy is repeated at that call if the batch has not
arrived in time, if the script has written to it, or if the call is another one than for the last batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._base import Knob, Values, always, noticing, truth
from ._loader import copied_batches

if TYPE_CHECKING:
    from ..types import Hardware, Workload

TREATMENT = "ahead"


def _values(_hardware: Hardware, workload: Workload) -> Values:
    return copied_batches(workload, "the device waits for each batch to be copied")


KNOB = Knob(
    id="device_prefetch",
    title="copies of the next batch during the update",
    values=_values,
    example=True,
    effect=always("exact"),
    apply=lambda controls, value: controls.device_copies.switch(TREATMENT, value, by="device_prefetch"),
    restore=lambda controls: controls.device_copies.switch(TREATMENT, False),
    wrong=truth,
    by_hand="copy the next batch with non_blocking=True under torch.cuda.stream(…), while this one trains",
    chosen_for=("transfers",),
    needs="pin_memory",
    noticed=noticing("Memory", "the next batch is on the device during an update"),
    changes="The device holds one batch more. Only loaders with workers have the next batch in time.",
    hooks=("loader", "model"),
    opened_by=("blocking_copy",),
)
