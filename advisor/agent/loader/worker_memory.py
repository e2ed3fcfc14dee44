"""Memory that loader workers have of their own, and the Python objects of the dataset that they copy page by page.

A forked worker shares the pages of its parent until one of the two writes to them. Reading a Python object writes its
reference count, so a list of records is copied into every worker, little by little.
"""

from __future__ import annotations

import itertools
from typing import Any

from .sample_parts import bytes_of, nested_datasets

MOST_READINGS = 40
"""Readings of a script: the kernel walks through all pages of each worker for one (some 5 ms a GiB)."""
LEAST_RECORDS = 10_000
"""Length of a container from which it may be what grows."""
SAMPLED_RECORDS = 100
CONTAINERS = (list, tuple, dict)


class WorkerMemory:
    """Memory of the training loader's workers, from reading to reading; `report` gives the fields of
    `types.WorkerMemory`."""

    def __init__(self) -> None:
        self._readings = 0
        self._seen: dict[int, tuple[int, int]] = {}
        """Process → the memory of its own at its first and its latest reading."""

    def read(self, fetcher: Any) -> None:
        """Read the memory of the workers that fetch now."""
        workers = getattr(fetcher, "_workers", ())
        if not workers or self._readings >= MOST_READINGS:
            return
        self._readings += 1
        for worker in workers:
            own = private_bytes(worker.pid)
            if own is not None:
                self._seen[worker.pid] = (self._seen.get(worker.pid, (own, own))[0], own)

    def report(self, dataset: Any) -> dict[str, Any] | None:
        """Return how far a worker has grown, and what it copies; None if nothing was seen to grow, or why."""
        grown = max(self._seen.values(), key=lambda pair: pair[1] - pair[0], default=(0, 0))
        records = _largest_records(dataset) if grown[1] > grown[0] else None
        if records is None:
            return None
        path, number, total = records
        return {
            "first_bytes": grown[0],
            "last_bytes": grown[1],
            "path": path,
            "records": number,
            "records_bytes": total,
        }


def private_bytes(pid: int | None) -> int | None:
    """Return the memory that this process shares with no other and has written to (Linux only); None if unknown."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            return next((int(line.split()[1]) * 1024 for line in file if line.startswith(b"Private_Dirty:")), None)
    except (OSError, IndexError, ValueError):
        return None


def _largest_records(dataset: Any) -> tuple[str, int, int] | None:
    """Return path, length and estimated bytes of the largest container of Python objects that the dataset holds."""
    found = [
        (f"{type(owner).__name__}.{name}", len(value), _estimated_bytes(value))
        for owner in nested_datasets(dataset)
        for name, value in list(vars(owner).items())
        if type(value) in CONTAINERS and len(value) >= LEAST_RECORDS
    ]
    if type(dataset) in CONTAINERS and len(dataset) >= LEAST_RECORDS:
        found.append((type(dataset).__name__, len(dataset), _estimated_bytes(dataset)))
    return max(found, key=lambda item: item[2], default=None)


def _estimated_bytes(records: Any) -> int:
    """Return the bytes of all records, by the size of some of them."""
    values = records.values() if isinstance(records, dict) else records
    some = list(itertools.islice(values, 0, None, max(1, len(records) // SAMPLED_RECORDS)))[:SAMPLED_RECORDS]
    return int(sum(map(bytes_of, some)) / max(len(some), 1) * len(records))
