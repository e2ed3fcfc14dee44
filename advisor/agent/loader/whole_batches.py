"""Batches read from their dataset at once, for datasets that answer a list of indices as a table does.

The reader replaces the dataset only in an inner loader, so it lives in the script's own process, and the script never
sees it. Before it is used, batches are read both ways: what the loop gets must not differ in a single bit.
"""

from __future__ import annotations

import itertools
import sys
from collections import abc
from typing import Any

from ...refused import Refused
from ..base.pass_through import passes_on_to_c
from ..base.tensors import tensors_in
from .coming import coming
from .random_states import RandomStates, preserved_random_states
from .sample_parts import DEPTH, Stamp, equal

COMPARED_SAMPLES = 256
"""Samples that are read both ways: coming ones, as far as their order may be known ahead of time."""
LEAST_SAMPLES = 2
"""Samples at least: the answer to one index in a list may well be a sample in a list."""


class WholeBatches:
    """Dataset for torch's fetcher, whose `__getitems__` gives a whole batch; `as_read` is its collate function."""

    def __init__(self, dataset: Any, like: Any) -> None:
        """Read from `dataset`; `like` is a batch as the loader makes it, whose containers and dtypes are kept."""
        self.dataset = dataset
        self._like = like
        self._stamp = Stamp(dataset)

    def __len__(self) -> int:
        return len(self.dataset)

    def reads(self, dataset: object) -> bool:
        """Return whether it reads this dataset, whose attributes are as when its batches were compared."""
        return dataset is self.dataset and self._stamp.changed() is None

    @passes_on_to_c
    def __getitems__(self, indices: abc.Sequence[Any]) -> Any:
        return _shaped(self.dataset[list(indices)], self._like)


def as_read(batch: Any) -> Any:
    """Return what `WholeBatches` has read: it is a batch already."""
    return batch


def whole_batches(loader: Any, stream: object, known: WholeBatches | None) -> WholeBatches:
    """Return the reader that replaces the loader's dataset. Raises Refused unless it gives the same batches.

    `known`: the reader of the epoch before, which is compared no more if the dataset is as it was.
    """
    if known is not None and known.reads(loader.dataset):
        return known
    indices = list(itertools.islice(coming(loader, stream, least=1), COMPARED_SAMPLES))
    if len(indices) < LEAST_SAMPLES:
        raise Refused("the next samples of the epoch are not known, so that no batch can be compared")
    with preserved_random_states(loader.dataset):
        return _compared(loader, indices)


def _compared(loader: Any, indices: list[Any]) -> WholeBatches:
    """Return a reader that gives this batch as the loader does, and memory of its own each time; else raise Refused."""
    dataset = loader.dataset
    name = type(dataset).__name__
    states, stamp = RandomStates(dataset), Stamp(dataset)
    try:
        wanted = loader.collate_fn([dataset[index] for index in indices])
    except Exception as error:
        raise Refused(f"a batch of {name} cannot be read: {type(error).__name__}: {error}") from error
    if states.moved():
        raise Refused(f"{name} draws random numbers when read: each sample needs its own")
    reader = WholeBatches(dataset, wanted)
    try:
        found, again = reader.__getitems__(indices), reader.__getitems__(indices)
    except Exception as error:
        why = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise Refused(f"{name} does not answer a list of indices: {why}") from error
    differs = equal(found, wanted) or equal(again, wanted)
    if differs is not None:
        raise Refused(f"{name} gives another batch for a list of indices: {differs}")
    changed = stamp.changed()
    if changed is not None:
        raise Refused(f"{name}.{changed} changes when samples are read, and would change less often")
    if _memory(found) & _memory(again):
        raise Refused(f"{name} gives the same memory for a batch each time, and loops edit batches in place")
    return reader


def _shaped(found: Any, like: Any, depth: int = DEPTH) -> Any:
    """Return what was found in the containers and dtypes of `like`; raise TypeError where it does not fit."""
    torch = sys.modules["torch"]
    if isinstance(like, torch.Tensor):
        return torch.as_tensor(found, dtype=like.dtype).contiguous()
    if not depth:
        raise TypeError("the batch is nested too deeply")
    if isinstance(like, abc.Mapping) and isinstance(found, abc.Mapping):
        return type(like)({key: _shaped(found[key], part, depth - 1) for key, part in like.items()})  # type: ignore[call-arg]
    if isinstance(like, (list, tuple)) and isinstance(found, (list, tuple)) and len(like) == len(found):
        parts = [_shaped(one, part, depth - 1) for one, part in zip(found, like)]
        return type(like)(*parts) if hasattr(like, "_fields") else type(like)(parts)
    raise TypeError(f"a {type(found).__name__} in place of a {type(like).__name__}")


def _memory(batch: Any) -> set[int]:
    """Return the addresses of the batch's tensors; empty ones have none."""
    return {tensor.data_ptr() for tensor in tensors_in(batch)} - {0}
