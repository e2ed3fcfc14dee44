"""Keep batches in page-locked memory: copies to the device are faster and overlap with its work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import Knob, Values, truth
from ._loader import NO_LOADER, workers_tier

if TYPE_CHECKING:
    from ..types import Hardware, Workload
    from ._controls import Controls

PINNING_DEVICES = ("cuda", "xpu")
"""Device types whose copies gain from pinning; torch does not pin for the others."""


def _values(hardware: Hardware, workload: Workload) -> Values:
    loader = workload.train_loader
    if loader is None:
        return Values(why_closed=NO_LOADER)
    if workload.device not in PINNING_DEVICES:
        found = f"{len(hardware.accelerators)} in the machine" if hardware.accelerators else "the machine has none"
        return Values(why_closed=f"training runs on {workload.device}: no batch goes to an accelerator ({found})")
    if loader.pin_memory:
        return Values(why_closed="batches are already pinned (pin_memory=True)")
    return Values(values=(True,), why=f"batches go to {workload.device} from pageable memory")


def _tier(hardware: Hardware, workload: Workload) -> str:
    """Return `exact`, or `resampled` if workers draw random numbers: switching restarts them. Batches are the same."""
    loader = workload.train_loader
    return workers_tier(hardware, workload) if loader is not None and loader.num_workers else "exact"


def _apply(controls: Controls, value: Any) -> None:
    controls.loaders.adjust("pin_memory", pin_memory=value)


def _restore(controls: Controls) -> None:
    controls.loaders.adjust("pin_memory", pin_memory=None)


KNOB = Knob(
    id="pin_memory",
    title="batches in page-locked memory",
    scope="live",
    values=_values,
    tier=_tier,
    apply=_apply,
    restore=_restore,
    usual_on_accelerator=True,
    wrong=truth,
    by_hand="DataLoader(…, pin_memory={value})",
    chosen_for=("transfers",),
    fails_in="batch",
    noticed=("Memory", "batches wait in page-locked memory, which other programs cannot use"),
    changes="Prefetched batches are in memory that cannot be swapped out.",
    hooks=("loader", "model"),
)
