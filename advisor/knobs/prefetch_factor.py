"""Number of batches that each worker prefetches. More of them even out slow batches and take memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import Knob, Values, whole_number
from ._loader import NO_LOADER, NO_WORKERS, batch_bytes, workers_tier

if TYPE_CHECKING:
    from ..types import Hardware, LoaderFacts, Workload
    from ._controls import Controls

CANDIDATES = (4, 8, 16)
"""Doublings of torch's own 2. A loader that still waits with 16 batches ahead does too little work, not too late."""
MEMORY_FRACTION = 0.25
"""Fraction of the free memory (or of shared memory, if smaller) that batches in flight may take."""


def _values(hardware: Hardware, workload: Workload) -> Values:
    loader = workload.train_loader
    if loader is None:
        return Values(why_closed=NO_LOADER)
    workers = loader.num_workers or max(1, round(hardware.cpu.usable_cpus))
    written = loader.prefetch_factor or 2
    larger = [value for value in CANDIDATES if value > written]
    if not larger:
        return Values(why_closed=f"each worker already prefetches {written} batches")
    short = [value for value in larger if not _longer_than_epoch(loader, value * workers)]
    if not short:
        return Values(
            why_closed=f"an epoch has {loader.length_batches} batches, and {workers} workers with "
            f"{written} ahead hold {written * workers} of them"
        )
    room = _room_bytes(hardware)
    size = batch_bytes(workload) or 0
    values = tuple(value for value in short if value * workers * size <= room)
    if not values:
        return Values(
            why_closed=f"{short[0]} batches ahead in each of {workers} workers are "
            f"{short[0] * workers * size / 2**20:.0f} MiB, and they may take {room / 2**20:.0f} MiB"
        )
    if not loader.num_workers:
        return Values(values=values, why=f"{NO_WORKERS}: those that are tried may prefetch", needs="num_workers")
    return Values(
        values=values,
        why=f"the script's {loader.num_workers} workers prefetch {written} batches each",
        needs="num_workers",
        needed_is_on=True,
    )


def _longer_than_epoch(loader: LoaderFacts, batches: int) -> bool:
    return loader.length_batches is not None and batches > loader.length_batches


def _room_bytes(hardware: Hardware) -> float:
    memory = hardware.memory
    free = min(memory.available_bytes, hardware.memory_limit_bytes)
    shared = memory.shared_memory_free_bytes
    return MEMORY_FRACTION * (free if shared is None else min(free, shared))


def _apply(controls: Controls, value: Any) -> None:
    controls.loaders.adjust("prefetch_factor", prefetch_factor=value)


def _restore(controls: Controls) -> None:
    controls.loaders.adjust("prefetch_factor", prefetch_factor=None)


KNOB = Knob(
    id="prefetch_factor",
    title="batches that each worker prefetches",
    scope="live",
    values=_values,
    tier=workers_tier,
    apply=_apply,
    restore=_restore,
    wrong=whole_number(1, 1024),
    by_hand="DataLoader(…, prefetch_factor={value})",
    chosen_for=("cpus", "host memory"),
    fails_in="batch",
    noticed=("Memory", "more batches are prefetched"),
    changes="More batches are in memory at once; the samples are the same.",
    hooks=("loader", "model"),
)
