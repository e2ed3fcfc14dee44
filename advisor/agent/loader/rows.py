"""Time that whole batches would take where a dataset's samples are read one by one and stacked.

Measured beside the script, on the indices of a batch that was read sample by sample: the dataset is asked for all of
them at once, or, if it cannot answer, their tensors are indexed as a table would be.
"""

from __future__ import annotations

import contextlib
import copy
import sys
import time
from collections import abc
from typing import Any

from .record import is_iterable, stacks_only
from .sample_parts import bytes_of

REPEATS = 25
"""Repeated readings; the shortest counts. Others fill caches, or wait for a CPU that another program has."""
LONGEST_S = 0.25
"""Seconds after which reading ends: the loop waits meanwhile."""
LEAST_SAMPLES = 2

WHOLE, TABLE = "whole", "table"
"""Values of `rows_read`: the dataset itself answers whole batches; a table of its samples would."""


def measure(loader: Any, index: Any, batch: Any) -> dict[str, Any]:
    """Return what reading this batch as a whole takes; empty if it cannot be told.

    `batch` is what the loader made of the samples at `index`. Draws and attributes set meanwhile are undone by the
    caller and by a copy of the dataset.
    """
    if is_iterable(loader) or not isinstance(index, list) or len(index) < LEAST_SAMPLES:
        return {}
    wanted = _leaves(batch)
    if not wanted or any(leaf.dim() == 0 or len(leaf) != len(index) for leaf in wanted):
        return {}
    size = {"sample_bytes": bytes_of(batch) / len(index)}
    whole_s = _whole_s(loader.dataset, index, wanted)
    if whole_s is not None:
        return {**size, "rows_read": WHOLE, "whole_s": whole_s}
    return {**size, "rows_read": TABLE, "whole_s": _table_s(wanted, len(index))} if stacks_only(loader) else {}


def _whole_s(dataset: Any, index: list[Any], wanted: list[Any]) -> float | None:
    """Return the seconds in which the dataset gives this batch at once; None if it gives anything else."""
    try:
        own = copy.copy(dataset)  # what it notes about the read, it notes in the copy
        found = _leaves(own[index])
        if len(found) != len(wanted) or not all(map(_same, found, wanted)):
            return None
        return _least_s(lambda: own[index])
    except Exception:  # most datasets know single indices only, and any code may be behind this
        return None


def _table_s(columns: list[Any], rows: int) -> float:
    """Return the seconds that drawing this many rows of these columns takes."""
    order = sys.modules["torch"].randperm(rows).tolist()
    return _least_s(lambda: [column[order] for column in columns])


def _least_s(read: Any) -> float:
    """Return the least of some times that reading takes on one thread."""
    spent: list[float] = []
    with _one_thread():
        while len(spent) < REPEATS and sum(spent) < LONGEST_S:
            begin = time.perf_counter()
            read()
            spent.append(time.perf_counter() - begin)
    return min(spent)


@contextlib.contextmanager
def _one_thread() -> abc.Iterator[None]:
    """Let torch compute with one thread meanwhile: several wait for each other where programs share the CPUs, which
    took milliseconds for microseconds of work."""
    torch = sys.modules["torch"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _leaves(value: Any) -> list[Any]:
    """Return the tensors of nested containers in order, arrays and lists of numbers as tensors; empty if there is
    anything else."""
    torch, numpy = sys.modules["torch"], sys.modules.get("numpy")
    if isinstance(value, torch.Tensor):
        return [value]
    if numpy is not None and isinstance(value, numpy.ndarray):
        return [torch.as_tensor(value)]
    if isinstance(value, abc.Mapping):
        value = list(value.values())
    if not isinstance(value, (list, tuple)) or not value:
        return []
    if all(type(item) in (bool, int, float) for item in value):
        return [torch.tensor(value)]
    parts = [_leaves(item) for item in value]
    return [leaf for part in parts for leaf in part] if all(parts) else []


def _same(found: Any, wanted: Any) -> bool:
    """Compare values, whatever their dtype: a number of Python is collated as float64."""
    return bool(found.shape == wanted.shape and (found.to(wanted.dtype) == wanted).all())
