"""Shared memory cannot hold the batches that the workers prepare."""

from __future__ import annotations

from ..types import Evidence
from ._base import Example, Hit, Judgement, Rule, Undecided
from ._examples import healthy_cpu, healthy_cuda, train_loader
from ._read import size

MAX_USED = 0.5
"""Fraction of the shared memory: other loaders and programs share it, and a full one kills the worker (bus error)."""
SMALL_BYTES = 64 * 2**20
"""Docker's default size; a larger one is assumed to be enough if the batches' size is not known."""


def judge(evidence: Evidence) -> Judgement:
    loader = evidence.workload.train_loader
    shared = evidence.hardware.memory.shared_memory_bytes
    if loader is None or shared is None:
        return None
    batch_bytes = evidence.workload.batch_bytes
    if not batch_bytes:
        small = shared <= SMALL_BYTES
        why = f"shared memory is small ({size(shared)}), and the size of a batch is unknown"
        return Undecided(why=why) if small else None
    ahead = loader.num_workers * (loader.prefetch_factor or 2)
    needed = batch_bytes * ahead
    if needed <= MAX_USED * shared:
        return None
    return Hit(
        severity="critical" if needed > shared else "warning",
        evidence=f"/dev/shm holds {size(shared)}, and {loader.num_workers} workers prepare up to {ahead} batches of "
        f"{size(batch_bytes)} there ({size(needed)}): a worker that finds it full is killed.",
        advice="Give the container more (`docker run --shm-size=8g`, or `--ipc=host`), or prepare fewer batches "
        "(`num_workers`, `prefetch_factor`).",
    )


def has_workers(evidence: Evidence) -> bool:
    loader = evidence.workload.train_loader
    return loader is not None and loader.num_workers > 0


_DOCKER = {"memory": {"shared_memory_bytes": SMALL_BYTES, "shared_memory_free_bytes": SMALL_BYTES}}
_IMAGES = {"batch_shapes": ("float32[64, 3, 224, 224]", "int64[64]")}

RULE = Rule(
    id="shared_memory_small",
    title="shared memory cannot hold the batches of the workers",
    headline="has too little shared memory for its loader workers",
    looks_at="The size of /dev/shm, the size of a batch, and the number of batches prefetched by all workers.",
    thresholds=("MAX_USED", "SMALL_BYTES"),
    source="The README of PyTorch's image recommends a larger --shm-size; no published profiler checks it.",
    url="https://docs.pytorch.org/docs/stable/multiprocessing.html",
    knobs=("num_workers", "prefetch_factor"),
    applies=has_workers,
    judge=judge,
    needs_updates=False,
    examples=(
        Example(
            name="images of 37 MiB a batch in Docker's 64 MiB",
            evidence=healthy_cpu(hardware=_DOCKER, workload=_IMAGES),
            fires=True,
        ),
        Example(
            name="sixteen workers in 1 GiB, on an accelerator",
            evidence=healthy_cuda(
                hardware={"memory": {"shared_memory_bytes": 2**30}},
                workload={**_IMAGES, "loaders": (train_loader(num_workers=16),)},
            ),
            fires=True,
        ),
        Example(name="small batches in Docker's 64 MiB", evidence=healthy_cpu(hardware=_DOCKER), fires=False),
        Example(name="images in 16 GiB", evidence=healthy_cpu(workload=_IMAGES), fires=False),
        Example(
            name="no workers",
            evidence=healthy_cpu(hardware=_DOCKER, workload={**_IMAGES, "loaders": (train_loader(num_workers=0),)}),
            fires=False,
        ),
        Example(
            name="64 MiB, and the size of a batch unknown",
            evidence=healthy_cpu(hardware=_DOCKER, workload={"batch_shapes": ()}),
            fires="abstains",
        ),
    ),
)
