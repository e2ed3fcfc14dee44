"""Keep batches in page-locked memory: copies to the device are faster and overlap with its work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._base import FOR_ACCELERATORS, Values, noticing, truth
from ._loader import NO_LOADER, loader_knob, workers_effect

if TYPE_CHECKING:
    from ..types import Hardware, Workload

PINNING_DEVICES = ("cuda", "xpu")
"""Device types whose copies gain from pinning; torch does not pin for the others."""


def _values(hardware: Hardware, workload: Workload) -> Values:
    loader = workload.train_loader
    if workload.device == "cpu" and not hardware.accelerators:
        return Values(why_closed=FOR_ACCELERATORS)
    if loader is None:
        return Values(why_closed=NO_LOADER)
    if workload.device not in PINNING_DEVICES:
        found = f"{len(hardware.accelerators)} in the machine" if hardware.accelerators else "the machine has none"
        return Values(why_closed=f"training runs on {workload.device}: no batch goes to an accelerator ({found})")
    if loader.pin_memory:
        return Values(why_closed="batches are already pinned (pin_memory=True)")
    return Values(values=(True,), why=f"batches go to {workload.device} from pageable memory")


def _effect(hardware: Hardware, workload: Workload) -> str:
    """Return `exact`, or `resampled` if workers draw random numbers: switching restarts them. Batches are the same."""
    loader = workload.train_loader
    return workers_effect(hardware, workload) if loader is not None and loader.num_workers else "exact"


KNOB = loader_knob(
    "pin_memory",
    title="batches in page-locked memory",
    values=_values,
    example=True,
    effect=_effect,
    usual_on_accelerator=True,
    wrong=truth,
    chosen_for=("transfers",),
    noticed=noticing("Memory", "batches wait in page-locked memory, which other programs cannot use"),
    changes="Prefetched batches are in memory that cannot be swapped out.",
)
