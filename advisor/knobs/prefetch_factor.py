"""Number of batches that each worker prefetches. More of them even out slow batches and take memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._base import Values, noticing, whole_number
from ._loader import NO_LOADER, NO_WORKERS, loader_knob

if TYPE_CHECKING:
    from ..types import Hardware, LoaderFacts, Workload

CANDIDATES = (4, 8, 16)
"""Doublings of torch's own 2. A loader that still waits with 16 batches ahead does too little work, not too late."""
MEMORY_FRACTION = 0.25
"""Fraction of the free memory (or of shared memory, if smaller) that batches in flight may take."""


def _values(hardware: Hardware, workload: Workload) -> Values:
    loader = workload.train_loader
    if loader is None:
        return Values(why_closed=NO_LOADER)
    workers = loader.num_workers or max(1, round(hardware.cpu.usable_cpus))
    baseline = loader.prefetch_factor or 2
    larger = [value for value in CANDIDATES if value > baseline]
    if not larger:
        return Values(why_closed=f"each worker already prefetches {baseline} batches")
    short = [value for value in larger if not _longer_than_epoch(loader, value * workers)]
    if not short:
        return Values(
            why_closed=f"an epoch has {loader.length_batches} batches, and {workers} workers with "
            f"{baseline} ahead hold {baseline * workers} of them"
        )
    limit_bytes = _limit_bytes(hardware)
    size = workload.batch_bytes or 0
    values = tuple(value for value in short if value * workers * size <= limit_bytes)
    if not values:
        return Values(
            why_closed=f"{short[0]} batches ahead in each of {workers} workers are "
            f"{short[0] * workers * size / 2**20:.0f} MiB, and they may take {limit_bytes / 2**20:.0f} MiB"
        )
    if not loader.num_workers:
        return Values(values=values, why=f"{NO_WORKERS}: those that are tried may prefetch")
    return Values(
        values=values,
        why=f"the script's {loader.num_workers} workers prefetch {baseline} batches each",
        needed_is_on=True,
    )


def _longer_than_epoch(loader: LoaderFacts, batches: int) -> bool:
    return loader.length_batches is not None and batches > loader.length_batches


def _limit_bytes(hardware: Hardware) -> float:
    memory = hardware.memory
    free = min(memory.available_bytes, hardware.memory_limit_bytes)
    shared = memory.shared_memory_free_bytes
    return MEMORY_FRACTION * (free if shared is None else min(free, shared))


KNOB = loader_knob(
    "prefetch_factor",
    title="batches that each worker prefetches",
    values=_values,
    example=4,
    wrong=whole_number(1, 1024),
    needs="num_workers",
    chosen_for=("cpus", "host memory"),
    noticed=noticing("Memory", "more batches are prefetched"),
    changes="More batches are in memory at once; the samples are the same.",
)
