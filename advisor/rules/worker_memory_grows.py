"""Loader workers copy a dataset of Python objects, page by page, as they read it."""

from __future__ import annotations

from ..types import Evidence, WorkerMemory
from ._base import Example, Hit, Judgement, Rule
from ._examples import GIB, healthy_cpu, healthy_cuda, train_loader
from ._input import made_at
from ._read import percent, size

LEAST_GROWTH_BYTES = 32 * 2**20
"""Growth of one worker below which buffers and imports explain it."""
LEAST_OF_RECORDS = 0.1
"""Share of the records' memory that a worker's growth must reach for them to be its cause."""
MOST_OF_RECORDS = 2.0
"""Ratio of a worker's growth to the records' memory, above which it must grow for another reason: pages hold other
objects, too, but not that many."""
WARNING_MEMORY_SHARE = 0.1
"""Share of the host's memory, taken by the copies of all workers together, from which it is more than worth knowing:
with the workers of an evaluation, or of a second training, it soon runs out."""


def has_forked_workers(evidence: Evidence) -> bool:
    loader = evidence.workload.train_loader
    return loader is not None and loader.num_workers > 0


def judge(evidence: Evidence) -> Judgement:
    seen, loader = evidence.workload.worker_memory, evidence.workload.train_loader
    if seen is None or loader is None or not _copies(seen):
        return None
    at_last = loader.num_workers * max(seen.records_bytes, seen.last_bytes)
    share = at_last / max(evidence.hardware.memory_limit_bytes, 1)
    return Hit(
        severity="warning" if share >= WARNING_MEMORY_SHARE else "info",
        evidence=f"A worker's own memory grew from {size(seen.first_bytes)} to {size(seen.last_bytes)} while it read "
        f"`{seen.path}`, {seen.records:,} Python objects of about {size(seen.records_bytes)}: reading an object writes "
        f"to its page, which is then copied. In the end, {loader.num_workers} workers hold about {size(at_last)}, "
        f"{percent(share)} of the memory.",
        advice="Keep the records in a few arrays or tensors (one for each field), in an Arrow table, or in one array "
        "of bytes with offsets: those have no reference count for each record, so workers share them.",
        where=made_at(loader),
    )


def _copies(seen: WorkerMemory) -> bool:
    grown = seen.last_bytes - seen.first_bytes
    least = max(LEAST_GROWTH_BYTES, LEAST_OF_RECORDS * seen.records_bytes)
    return least <= grown <= MOST_OF_RECORDS * seen.records_bytes


def _seen(**changes: int) -> WorkerMemory:
    given = {"first_bytes": 20 * 2**20, "last_bytes": 400 * 2**20, "records": 1_500_000, "records_bytes": 450 * 2**20}
    return WorkerMemory(path="Clicks.records", **{**given, **changes})


RULE = Rule(
    id="worker_memory_grows",
    title="workers copy a dataset of Python objects",
    headline="copies its dataset of Python objects into every loader worker",
    looks_at="The memory that each worker shares with no other process, at the ends of windows, and the largest list, "
    "tuple or dictionary of the dataset.",
    thresholds=("LEAST_GROWTH_BYTES", "LEAST_OF_RECORDS", "MOST_OF_RECORDS", "WARNING_MEMORY_SHARE"),
    source="pytorch#13246: memory of workers grows with every record that they read, until it runs out.",
    url="https://github.com/pytorch/pytorch/issues/13246",
    applies=has_forked_workers,
    needs_updates=False,
    judge=judge,
    examples=(
        Example(
            name="two workers copy 1.5 million records",
            evidence=healthy_cpu(workload={"worker_memory": _seen()}),
            fires=True,
        ),
        Example(
            name="sixteen workers of an accelerator copy 5 GiB each",
            evidence=healthy_cuda(
                workload={
                    "loaders": (train_loader(num_workers=16),),
                    "worker_memory": _seen(last_bytes=2 * GIB, records_bytes=5 * GIB),
                }
            ),
            fires=True,
        ),
        Example(
            name="a worker that grew by 31 MiB",
            evidence=healthy_cpu(workload={"worker_memory": _seen(last_bytes=51 * 2**20, records_bytes=40 * 2**20)}),
            fires=False,
        ),
        Example(
            name="a worker that grew far beyond the records, by a cache of its own",
            evidence=healthy_cpu(workload={"worker_memory": _seen(records_bytes=100 * 2**20)}),
            fires=False,
        ),
        Example(name="nothing grew", evidence=healthy_cpu(), fires=False),
    ),
)
