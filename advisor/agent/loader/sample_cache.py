"""Decoded samples kept in memory, for datasets whose samples are the same at every reading.

The cache replaces the dataset only in an inner loader, so it lives in the script's own process, and the script never
sees it. It keeps copies. It also delivers copies unless the batch is made of copies anyway: loops edit batches in
place. When the dataset's own attributes change, all kept samples are dropped.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any, Callable

from ...refused import Refused
from ..base.pass_through import passes_on, passes_on_to_c
from .coming import coming
from .free_memory import free_bytes
from .random_states import RandomStates, preserved_random_states
from .record import length_of, stacks_only
from .replay import Cloner
from .sample_parts import Stamp, bytes_of, copy_is_whole, equal, only_plain
from .sample_table import Batch, OtherForm, SampleTable, collated

MEMORY_FRACTION = 0.5
"""Fraction of the memory free at the start of the cache: the other half is for the training, which grows too."""
KEPT_FRACTION = 0.125
"""Fraction of that room: a cache this small outlives its window, so that the next one need not fill it again."""
PROBED_SAMPLES = 3
OVERHEAD_BYTES = 200
"""Extra bytes per kept sample: its dictionary entry, containers and tensor objects."""
FILLED_BATCHES = 24
"""Batches that are read ahead, however long that takes within MOST_FILL_S: a window settles and counts as many."""
MOST_FILL_S = 20.0
MOST_CHANGES = 3
"""Changes after which a dataset is no longer cached: it is not the same from epoch to epoch."""


class SampleCaches:
    """Holder of the cache in use, or of the last one."""

    def __init__(self) -> None:
        self.fill_s = 0.0
        """Seconds for which a probe reads coming samples ahead, so that windows show later epochs. In a real training
        the first epoch fills the cache."""
        self._cache: SampleCache | None = None
        self._fills = False

    def begin(self) -> None:
        """Begin, as the setting is now chosen: the coming samples may be read ahead, once."""
        self._fills = self.fill_s > 0

    def instead_of(self, loader: Any, stream: object) -> dict[str, Any]:
        """Return what replaces the loader's attributes: the cache its dataset, and the function that collates from it.

        Raises Refused if the samples cannot be kept.
        """
        cache = self._cache
        if cache is None or cache.dataset is not loader.dataset:
            cache = self._cache = _new_cache(loader, stream)
        if self._fills:
            self._fills = False
            with preserved_random_states(loader.dataset):
                samples = FILLED_BATCHES * (getattr(loader.batch_sampler, "batch_size", None) or 1)
                now_s = time.perf_counter()
                cache.fill(coming(loader, stream), now_s + self.fill_s, samples, now_s + MOST_FILL_S)
        return {"dataset": cache, **({"collate_fn": collated} if stacks_only(loader) else {})}

    def take_read_anew(self) -> int:
        """Return the samples that the cache did not hold since the last call."""
        cache = self._cache
        if cache is None:
            return 0
        count, cache.read_anew = cache.read_anew, 0
        return count

    def rest(self) -> None:
        """Free the memory of a large cache, as the setting is no longer chosen."""
        if self._cache is not None and self._cache.kept_bytes > KEPT_FRACTION * self._cache.limit_bytes:
            self._cache = None


class SampleCache:
    """Dataset for torch's fetcher: `dataset[i]`, or `dataset.__getitems__` of several."""

    def __init__(self, dataset: Any, limit_bytes: int, copies: bool, table: SampleTable | None = None) -> None:
        """Keep up to this many bytes: in `table` as long as it can hold the samples, else one by one.

        `copies`: deliver copies of them, as the batch may share their memory.
        """
        self.dataset = dataset
        self.limit_bytes = limit_bytes
        self.kept_bytes = 0
        self._copies = copies
        self._kept: dict[Any, Any] = {}
        self._table = table
        self._stamp = Stamp(dataset)
        self._changes = 0
        self.read_anew = 0
        """Samples that were asked for and not held."""

    def __len__(self) -> int:
        return len(self.dataset)

    @passes_on_to_c
    def __getitem__(self, index: object) -> Any:
        return self._given([index], lambda indices: [self.dataset[index] for index in indices])[0]

    @passes_on
    def __getitems__(self, indices: list[Any]) -> Any:
        if self._table is not None:
            self._forget_if_changed()
            try:
                return self._drawn(self._table, indices)
            except OtherForm:
                self._give_up_table()
        return self._given(indices, self._read)

    @passes_on
    def _drawn(self, table: SampleTable, indices: list[Any]) -> Batch:
        """Return a batch from the table, after adding what it does not hold."""
        keys = [key_of(index) for index in indices]
        missing = {key: index for key, index in zip(keys, indices) if key not in table}
        if missing:
            self.read_anew += len(missing)
            self._add(table, list(missing), self._read(list(missing.values())))
        return Batch(table.batch(keys), len(keys))

    def _add(self, table: SampleTable, keys: list[Any], samples: list[Any]) -> None:
        if None in keys or self._changes >= MOST_CHANGES:
            raise OtherForm("its samples cannot be kept")
        table.add(keys, samples)
        self.kept_bytes = len(table) * table.row_bytes

    def _give_up_table(self) -> None:
        """Keep samples one by one from now on; those of the table are read once more."""
        self._table, self.kept_bytes = None, 0

    @passes_on
    def _given(self, indices: list[Any], read: Callable[[list[Any]], list[Any]]) -> list[Any]:
        self._forget_if_changed()
        places = [key_of(index) for index in indices]
        missing = [index for index, place in zip(indices, places) if place not in self._kept]
        self.read_anew += len(missing)
        fresh = iter(read(missing) if missing else ())
        given = []
        for place, known in [(place, place in self._kept) for place in places]:
            if known:
                kept = self._kept[place]
                given.append(Cloner().clone(kept) if self._copies else kept)
            else:
                sample = next(fresh)
                self._keep(place, sample)
                given.append(sample)
        return given

    def fill(self, indices: Iterator[Any], deadline_s: float, least: int = 0, last_s: float = 0.0) -> None:
        """Read these samples until the deadline, but at least so many, for which it may take until `last_s`.

        Room ends it, too. Failures are left for the script to meet.
        """
        try:
            for number, index in enumerate(indices):
                until_s = last_s if number < least else deadline_s
                if time.perf_counter() > until_s or self.kept_bytes >= self.limit_bytes:
                    return
                place = key_of(index)
                if place not in (self._kept if self._table is None else self._table):
                    self._keep(place, self._read([index])[0])
        except Exception:  # any error of the dataset comes up again in the loop
            return

    @passes_on
    def _read(self, indices: list[Any]) -> list[Any]:
        return _several(self.dataset, indices)

    def _keep(self, place: object, sample: object) -> None:
        if self._table is not None:
            try:
                self._add(self._table, [place], [sample])
            except OtherForm:
                self._give_up_table()
            else:
                return
        if place is None or place in self._kept or self._changes >= MOST_CHANGES:
            return
        size = bytes_of(sample) + OVERHEAD_BYTES
        if self.kept_bytes + size <= self.limit_bytes:
            self._kept[place] = Cloner().clone(sample)
            self.kept_bytes += size

    def _forget_if_changed(self) -> None:
        if self._stamp.changed():
            self._stamp = Stamp(self.dataset)
            self._changes += 1
            self._kept.clear()
            if self._table is not None:
                self._table.clear()
            self.kept_bytes = 0


@passes_on_to_c
def _several(dataset: Any, indices: list[Any]) -> list[Any]:
    """Read the samples of a batch as torch's fetcher does."""
    at_once = getattr(dataset, "__getitems__", None)
    return list(at_once(indices)) if at_once else [dataset[index] for index in indices]


def key_of(index: Any) -> Any:
    """Return the key of a sample; None for an index without a lasting meaning (a list of several)."""
    if isinstance(index, (str, bytes)):
        return index
    if isinstance(index, tuple):
        parts = tuple(key_of(part) for part in index)
        return None if None in parts else parts
    try:
        return index.__index__()
    except (AttributeError, TypeError, ValueError, RuntimeError):
        return None


def _new_cache(loader: Any, stream: object) -> SampleCache:
    """Return an empty cache after checking the dataset: read twice, and measured against the free memory."""
    dataset = loader.dataset
    name = type(dataset).__name__
    indices = _some(loader, stream)
    with preserved_random_states(dataset):
        samples = [_read_twice(dataset, name, index) for index in indices]
    size = max(bytes_of(sample) for sample in samples) + OVERHEAD_BYTES
    free = free_bytes()
    if free is None:
        raise Refused("the amount of free memory is unknown, and the samples could fill it")
    limit_bytes = int(MEMORY_FRACTION * free / _processes_here())
    count = length_of(dataset)
    if count is not None and count * size > limit_bytes:
        raise Refused(
            f"{count} samples of {_format_bytes(size)} are {_format_bytes(count * size)}, "
            f"and {_format_bytes(limit_bytes)} may be taken of the {_format_bytes(free)} available"
        )
    plain = all(only_plain(sample) for sample in samples)
    copies = not (plain and stacks_only(loader))
    table = None if copies or not count or not loader._auto_collation else _table_for(samples, count)
    return SampleCache(dataset, limit_bytes, copies, table)


def _table_for(samples: list[Any], count: int) -> SampleTable | None:
    """Return an empty table for samples like these; None if they differ in form."""
    try:
        table = SampleTable(samples[0], count)
        table.add(list(range(len(samples))), samples[:count])
    except OtherForm:
        return None
    table.clear()
    return table


def _read_twice(dataset: object, name: str, index: object) -> Any:
    """Return the sample; raise Refused with the reason if a second reading gives another sample."""
    if key_of(index) is None:
        raise Refused(f"the samples of {name} are indexed by {type(index).__name__}, not by number")
    try:
        states = RandomStates(dataset)
        (sample,) = _several(dataset, [index])
        drew = states.moved()
        stamp = Stamp(dataset)
        (again,) = _several(dataset, [index])
    except Exception as error:
        raise Refused(f"sample {index} of {name} cannot be read: {type(error).__name__}: {error}") from error
    if drew:
        raise Refused(f"{name} draws random numbers when read: cached samples would be the same in every epoch")
    changed = stamp.changed()
    if changed is not None:
        raise Refused(f"{name}.{changed} changes when the dataset is read, and would not with cached samples")
    why = equal(sample, again)
    if why is not None:
        raise Refused(f"sample {index} of {name} differs when read twice: {why}")
    why = copy_is_whole(Cloner().clone(sample), sample)
    if why is not None:
        raise Refused(f"sample {index} of {name} cannot be cached: {why}")
    return sample


def _some(loader: object, stream: object) -> list[Any]:
    """Return some indices that the sampler gave or is about to give."""
    found: list[Any] = []
    for index in coming(loader, stream, least=1):
        found.append(index)
        if len(found) == PROBED_SAMPLES:
            break
    if not found:
        raise Refused("the sampler has no sample left to inspect in this epoch")
    return found


def _processes_here() -> int:
    """Return the number of processes of the same training on this machine: each keeps its own samples."""
    local_processes = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, int(local_processes)) if local_processes.isdigit() else 1


def _format_bytes(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} GiB"
