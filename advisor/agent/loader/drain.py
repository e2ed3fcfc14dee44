"""Reading of the training loader at full speed beside the script: a second iterator, with no compute."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Callable

from ...refused import Refused
from ..base.pass_through import passes_on_to_c
from ..loop.samples import count_samples
from . import rows
from .duplicates import Duplicates
from .feed import workers_of_tasks
from .limits import open_handle, refuse_foreign, refuse_second_reader, refuse_workers
from .openings import Openings
from .random_states import preserved_random_states, private_sampler
from .record import bare_copy, is_iterable
from .times import COLLATE_NS, FETCH_CPU_NS, FETCH_NS, TOTALS, Board

SHORTEST_WAIT_S = 0.05
"""Least wait for the workers' last batch, when time is nearly over."""

Build = Callable[[Any], "tuple[Any, Board]"]


def drain(loader: Any, build: Build, seconds: float, max_batches: int, num_workers: int | None) -> dict[str, Any]:
    """Return batches, samples and seconds of a loader on its own, except the filling of its queues; and work times.

    Without workers, also what reading whole batches would take, and a file opened again for every sample.

    `num_workers` defaults to the script's. Reads for about `seconds`: a batch being fetched in this process cannot be
    interrupted, and one that workers fetch is not waited for any longer. Raises Refused if a second reader would change
    what the script gets.
    """
    workers = loader.num_workers if num_workers is None else num_workers
    _refuse(loader, workers)
    own = _own_loader(loader, workers)
    with preserved_random_states(loader.dataset, loader.generator):
        fetcher, board = build(own)
        try:
            reading = _Reading(fetcher, board, own)
            if workers:
                return reading.read(seconds, max_batches)
            with Openings() as openings:
                report = reading.read(seconds, max_batches)
            again = openings.again(report["samples"]) if report["samples"] else {}
            return {**report, **again, **rows.measure(own, *reading.last)}
        finally:
            if workers:
                fetcher._shutdown_workers()


class _Reading:
    def __init__(self, fetcher: Any, board: Board, loader: Any) -> None:
        self._fetcher = fetcher
        self._board = board
        self._iterable = is_iterable(loader)
        self._indices = loader.batch_sampler if loader.batch_sampler is not None else loader.sampler
        self._ahead = loader.num_workers * (loader.prefetch_factor or 0)
        self._duplicates = Duplicates() if self._iterable and loader.num_workers > 1 else None
        self._workers = loader.num_workers
        self.last: tuple[Any, Any] = None, None
        """Index and batch read last."""

    def read(self, seconds: float, max_batches: int) -> dict[str, Any]:
        begin = time.perf_counter()
        deadline = begin + seconds
        steady_begin, steady_work = begin, self._work()
        batches, samples, last = 0, 0, begin
        known, steady = True, not self._ahead
        while batches < max_batches and (last < deadline or not batches):
            count = self._next(deadline)
            if count is None:
                break
            batches += 1
            samples += count
            known = known and count >= 0
            last = time.perf_counter()
            if not steady and batches == self._ahead:
                steady, steady_begin, steady_work, batches, samples = True, last, self._work(), 0, 0
        if not batches:
            raise Refused(f"the loader produced no batch within {seconds:.3g} s: allow more time")
        spent = [now - then for now, then in zip(self._work(), steady_work)]
        seen = self._board.seen
        return {
            "batches": batches,
            "samples": samples if known else None,
            "seconds": last - steady_begin,
            "steady": steady,
            "workers": self._workers,
            "fetch_s": spent[FETCH_NS] / 1e9 if seen else None,
            "fetch_cpu_s": spent[FETCH_CPU_NS] / 1e9 if seen else None,
            "collate_s": spent[COLLATE_NS] / 1e9 if seen else None,
            "duplicates_fraction": self._duplicates.fraction if self._duplicates is not None else None,
        }

    def _next(self, deadline: float) -> int | None:
        """Return the samples of the next batch, -1 if unknown; None at the end of data or time."""
        fetcher = self._fetcher
        if self._workers:
            fetcher._timeout = max(SHORTEST_WAIT_S, deadline - time.perf_counter())
        sent_to = workers_of_tasks(fetcher) if self._duplicates is not None else {}
        try:
            batch = next(fetcher)
        except StopIteration:
            return None
        except Exception as error:
            if self._workers and time.perf_counter() >= deadline and "timed out" in str(error):
                return None
            raise Refused(f"reading the dataset failed: {type(error).__name__}: {error}") from error
        worker = sent_to.get(fetcher._rcvd_idx - 1) if sent_to else None
        if self._duplicates is not None and worker is not None and not self._duplicates.enough:
            self._duplicates.saw(worker, batch)
        index = None if self._iterable else self._indices.pop()
        self.last = index, batch
        count, _ = count_samples(batch, index, self._board.last_items if not self._workers else 0)
        return -1 if count is None else count

    def _work(self) -> list[int]:
        return [self._board.total(cell) for cell in TOTALS]


class _Round:
    """Order of one epoch after another, drawn lazily, so that workers continue where an epoch ends."""

    def __init__(self, sampler: Any) -> None:
        self._sampler = sampler
        self._order: Iterator[Any] | None = None
        self._given: list[Any] = []

    def __iter__(self) -> _Round:
        return self

    @passes_on_to_c
    def __next__(self) -> Any:
        if self._order is None:
            self._order = iter(self._sampler)
        try:
            index = next(self._order)
        except StopIteration:
            self._order = iter(self._sampler)
            index = next(self._order)  # an empty sampler ends here
        self._given.append(index)
        return index

    def pop(self) -> Any:
        """Remove and return the index of the oldest batch not taken yet."""
        return self._given.pop(0)


def _own_loader(loader: Any, workers: int) -> Any:
    import torch

    own = bare_copy(loader)
    settings = own.__dict__  # bypasses DataLoader's guard against changes after construction
    settings.update(num_workers=workers, persistent_workers=False, timeout=0, generator=torch.Generator())
    settings["prefetch_factor"] = (loader.prefetch_factor or 2) if workers else None
    if not workers:
        settings["_DataLoader__multiprocessing_context"] = None
    if loader.pin_memory and not torch.cuda.is_available():
        settings["pin_memory"] = False  # torch would only warn once more that it pins nothing
    if not is_iterable(loader):
        name = "batch_sampler" if loader.batch_sampler is not None else "sampler"
        settings[name] = _Round(private_sampler(getattr(loader, name)))
    return own


def _refuse(loader: Any, workers: int) -> None:
    refuse_foreign(loader)
    refuse_second_reader(loader)
    handle = open_handle(loader.dataset)
    if handle is not None and (is_iterable(loader) or bool(workers) != bool(loader.num_workers)):
        raise Refused(f"{handle} is open: a second reader would move its file position")
    if workers and not loader.num_workers:
        refuse_workers(loader)
