"""Hooks on torch's data loaders: what the loop waits for, what each loader is for, how many samples it delivered.

The script keeps its own loaders and iterators, of their own types: only methods of torch's iterator classes are
wrapped. Everything here runs for every batch, so the common way through `_deliver` is short.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import weakref
from typing import Any, Callable

from .clock import DATA_WAIT, RESTART, StepClock
from .loader_feed import Feed
from .loader_record import EVALUATION, UNUSED, LoaderRecord, bare_copy, signature_of, user_line
from .loader_times import (
    COLLATE_NS,
    FETCH_CPU_NS,
    FETCH_NS,
    FETCHES,
    TOTALS,
    Board,
    FetchTimes,
    drop_own_frames,
    start_method,
)
from .patches import Patches
from .replay import Replay
from .samples import LEADING_DIMENSION, count_samples
from .stream import IndexStream

FEED = "_advisor_feed"
"""Where a script's iterator keeps what we know of it; iterators cannot be pickled, so nothing of it is ever saved."""

WAIT_MEMORY = 0.1
"""Weight of the newest wait in the running mean: the last ten or so batches are the ordinary ones."""

RESTART_FACTOR = 2.0
"""A first wait up to this many ordinary ones is an ordinary one: single waits scatter by that much."""

STALE_VOTES = 8
"""A training loader that was not read before so many training forwards has been replaced by another."""


class LoaderHooks:
    """All loaders of the process. Made before torch is there; `install` is called once it is."""

    def __init__(self, clock: StepClock) -> None:
        self._clock = clock
        self._records: list[LoaderRecord] = []
        self._by_id: dict[int, LoaderRecord] = {}
        self._made_at: dict[int, tuple[weakref.ref[Any], str | None]] = {}
        self._busy: set[int] = set()
        """Threads inside a loader, or doing our own work: what they read or build meanwhile is not the loop's."""
        self._read: list[LoaderRecord] = []
        """Loaders read since the last training forward, the latest last."""
        self._votes = 0
        self._times = FetchTimes()
        self._patches = Patches()
        self._next: Callable[[Any], Any] = next
        self._replaying = False
        self._inert = False
        self._suspended = False
        self._taken: tuple[LoaderRecord, list[int]] | None = None
        self.train: LoaderRecord | None = None
        """The loader that feeds the training; None as long as there is none."""

    # --- installing -------------------------------------------------------------------------------------------------

    def install(self) -> None:
        """Wrap torch's loader classes. Call it right after torch was imported."""
        from torch.utils.data import dataloader
        from torch.utils.data._utils import fetch

        base = dataloader._BaseDataLoaderIter
        self._next = base.__next__
        self._patches.replace(dataloader.DataLoader, "__init__", self._wrap_loader_init)
        self._patches.replace(base, "__init__", self._wrap_base_init)
        self._patches.replace(base, "_reset", self._wrap_base_reset)
        self._patches.replace(base, "__next__", self._wrap_next)
        for kind in (dataloader._SingleProcessDataLoaderIter, dataloader._MultiProcessingDataLoaderIter):
            self._patches.replace(kind, "__init__", self._wrap_iterator_init)
        self._patches.replace(dataloader._MultiProcessingDataLoaderIter, "_reset", self._wrap_workers_reset)
        self._patches.replace(fetch._BaseDatasetFetcher, "__init__", self._times.fetcher_init)
        for fetcher in (fetch._MapDatasetFetcher, fetch._IterableDatasetFetcher):
            self._patches.replace(fetcher, "fetch", self._times.fetch)
        if hasattr(os, "register_at_fork"):
            reference = weakref.ref(self)
            os.register_at_fork(after_in_child=functools.partial(_after_fork, reference))

    def close(self) -> None:
        """Take all wrappers off again; iterators that are in use go on as torch made them."""
        self._inert = True
        self._patches.restore()

    def suspend(self) -> None:
        """Only the place in the epoch is kept until `resume`: nothing is timed, nothing counted."""
        self._suspended = self._times.suspended = True

    def resume(self) -> None:
        self._suspended = self._times.suspended = False

    # --- roles ------------------------------------------------------------------------------------------------------

    def saw_training_forward(self) -> None:
        """A forward that trains has begun: what was read for it is training data."""
        if not self._read:
            return
        self._votes += 1
        for record in self._read:
            record.vote(train=True)
            record.last_train_vote = self._votes
        newest = self._read[-1]
        self._read = []
        if self.train is None or self._votes - self.train.last_train_vote > STALE_VOTES:
            self.train = newest
        if newest.pending_samples:
            if newest is self.train:
                self._clock.add_samples(newest.pending_samples)
            newest.pending_samples = 0

    def saw_evaluation_forward(self) -> None:
        """A forward that does not train has begun: the loader read last is for evaluation."""
        if self._read:
            self._read.pop().vote(train=False)

    # --- what is asked ----------------------------------------------------------------------------------------------

    def facts(self) -> list[dict[str, Any]]:
        """Every loader that was read, with the fields of `types.LoaderFacts`."""
        return [record.as_facts() for record in self._records]

    @property
    def samples_from(self) -> str:
        """What told the number of samples: `indices`, `leading dimension` or `not known`."""
        return (self.train.samples_from if self.train is not None else None) or "not known"

    def take_sums(self) -> dict[str, Any] | None:
        """The fields of `wire.LoaderSums` of the training loader since the last call; None without a loader."""
        record = self.train
        if record is None:
            return None
        work = record.work()
        totals = [record.batches, record.samples, record.restarts, record.restart_ns, *(work or [0] * len(TOTALS))]
        before = self._taken[1] if self._taken is not None and self._taken[0] is record else [0] * len(totals)
        self._taken = (record, totals)
        batches, samples, restarts, restart_ns, *spent = (now - then for now, then in zip(totals, before))
        seen = work is not None and spent[FETCHES] > 0
        return {
            "batches": batches,
            "samples": samples if record.samples_known else None,
            "workers": self._workers(record),
            "fetch_s": spent[FETCH_NS] / 1e9 if seen else None,
            "fetch_cpu_s": spent[FETCH_CPU_NS] / 1e9 if seen else None,
            "collate_s": spent[COLLATE_NS] / 1e9 if seen else None,
            "transfer_s": None,
            "restarts": restarts,
            "restart_s": restart_ns / 1e9,
            "duplicates_fraction": record.duplicates_fraction,
        }

    def in_flight_batches(self) -> int:
        """Batches of the training loader that may have been fetched while the loop stood still."""
        record = self.train
        iterator = record.iterator() if record is not None and record.iterator is not None else None
        feed = iterator.__dict__.get(FEED) if iterator is not None else None
        if iterator is None or feed is None:
            return 0
        fetcher = feed.inner if feed.inner is not None else iterator
        return int(getattr(fetcher, "_num_workers", 0)) * int(getattr(fetcher, "_prefetch_factor", None) or 0)

    def replay(self, on: bool) -> None:
        """What-if: from the next batch on, the training loader hands out clones of batches that it fetched before."""
        self._replaying = on
        if not on and self.train is not None:
            self.train.replay = Replay()

    def _workers(self, record: LoaderRecord) -> int:
        iterator = record.iterator() if record.iterator is not None else None
        feed = iterator.__dict__.get(FEED) if iterator is not None else None
        if feed is not None and feed.inner is not None:
            return int(feed.inner._num_workers)
        return int(record.facts["num_workers"])

    # --- delivering a batch -----------------------------------------------------------------------------------------

    def _deliver(self, iterator: Any, feed: Feed) -> Any:
        thread = threading.get_ident()
        if thread in self._busy:
            return self._next(iterator)
        if self._suspended:
            return feed.next_batch(iterator, self._next)[0]
        record, clock = feed.record, self._clock
        mine = clock.mine()
        evaluates = mine and record.role == EVALUATION
        self._busy.add(thread)
        if evaluates:
            clock.evaluation_begins()
        if mine:
            clock.push(DATA_WAIT)
        try:
            return self._fetch(iterator, feed)
        finally:
            if mine:
                self._settle_wait(feed)
                clock.pop()
            if evaluates:
                clock.evaluation_ends()
            self._busy.discard(thread)

    def _fetch(self, iterator: Any, feed: Feed) -> Any:
        record = feed.record
        if not (self._replaying and record is self.train):
            batch, index = feed.next_batch(iterator, self._next)
            self._count(feed, batch, index)
            return batch
        if not record.replay.full:
            try:
                batch, index = feed.next_batch(iterator, self._next)
            except StopIteration:
                if record.replay.empty:
                    raise
            else:
                samples = self._count(feed, batch, index)
                self._excluded(functools.partial(record.replay.remember, batch, samples))
                return batch
        batch, samples = self._excluded(record.replay.next)
        self._add(record, samples)
        return batch

    def _count(self, feed: Feed, batch: Any, index: Any) -> int | None:
        board = feed.board
        items = board.last_items if board is not None and feed.iterable and not feed.workers else 0
        samples, source = count_samples(batch, index, items)
        record = feed.record
        if record.samples_from != LEADING_DIMENSION:
            record.samples_from = source
        self._add(record, samples)
        return samples

    def _add(self, record: LoaderRecord, samples: int | None) -> None:
        record.batches += 1
        if record not in self._read:
            self._read.append(record)
        elif self._read[-1] is not record:
            self._read.remove(record)
            self._read.append(record)
        if samples is None:
            record.samples_known = False
            return
        record.samples += samples
        if record is self.train:
            self._clock.add_samples(samples)
        elif record.role == UNUSED:
            record.pending_samples += samples

    def _settle_wait(self, feed: Feed) -> None:
        """The first wait of an epoch is a restart as far as it is no ordinary one: workers start, queues fill."""
        record, wait_ns = feed.record, self._clock.elapsed_in_phase_ns()
        ordinary = record.ordinary_wait_ns
        if not feed.first:
            record.ordinary_wait_ns = wait_ns if ordinary is None else ordinary + WAIT_MEMORY * (wait_ns - ordinary)
            return
        feed.first = False
        if feed.workers and (ordinary is None or wait_ns > RESTART_FACTOR * ordinary):
            self._clock.rename_top(RESTART)
            record.restart_ns += int(wait_ns - (ordinary or 0))

    def _excluded(self, work: Callable[[], Any]) -> Any:
        return self._clock.exclude(work) if self._clock.mine() else work()

    # --- wrappers of torch's methods ----------------------------------------------------------------------------------

    def _wrap_next(self, original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        hooks = self

        @functools.wraps(original)
        def __next__(iterator: Any) -> Any:  # noqa: N807
            feed = iterator.__dict__.get(FEED)
            if feed is None or hooks._inert:
                return original(iterator)
            try:
                return hooks._deliver(iterator, feed)
            except BaseException as error:
                drop_own_frames(error)
                raise

        return __next__

    def _wrap_loader_init(self, original: Callable[..., None]) -> Callable[..., None]:
        hooks = self

        @functools.wraps(original)
        def __init__(loader: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            hooks._note_place(loader)
            try:
                original(loader, *args, **kwargs)
            except BaseException as error:
                drop_own_frames(error)
                raise

        return __init__

    def _note_place(self, loader: Any) -> None:
        number, places = id(loader), self._made_at

        def forget(_gone: object) -> None:
            places.pop(number, None)

        reference = weakref.ref(loader, forget)
        places[number] = (reference, user_line(sys._getframe(2)))

    def _wrap_iterator_init(self, original: Callable[..., None]) -> Callable[..., None]:
        hooks = self

        @functools.wraps(original)
        def __init__(iterator: Any, loader: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            if hooks._inert or threading.get_ident() in hooks._busy:
                original(iterator, loader, *args, **kwargs)
                return
            try:
                hooks._begin_iterator(iterator, loader, functools.partial(original, iterator, loader, *args, **kwargs))
            except BaseException as error:
                drop_own_frames(error)
                raise

        return __init__

    def _wrap_base_init(self, original: Callable[..., None]) -> Callable[..., None]:
        hooks = self

        @functools.wraps(original)
        def __init__(iterator: Any, loader: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            original(iterator, loader, *args, **kwargs)
            if hooks._inert:
                return
            if FEED not in iterator.__dict__ and threading.get_ident() not in hooks._busy:
                iterator.__dict__[FEED] = Feed(hooks._record_of(loader), bare_copy(loader), foreign=True)
            hooks._begin_stream(iterator)

        return __init__

    def _wrap_base_reset(self, original: Callable[..., None]) -> Callable[..., None]:
        hooks = self

        @functools.wraps(original)
        def _reset(iterator: Any, *args: Any, **kwargs: Any) -> None:
            original(iterator, *args, **kwargs)
            if not hooks._inert:
                hooks._begin_stream(iterator)

        return _reset

    def _wrap_workers_reset(self, original: Callable[..., None]) -> Callable[..., None]:
        hooks = self

        @functools.wraps(original)
        def _reset(iterator: Any, *args: Any, **kwargs: Any) -> None:
            reset = functools.partial(original, iterator, *args, **kwargs)
            feed = iterator.__dict__.get(FEED)
            if feed is None or hooks._inert or threading.get_ident() in hooks._busy:
                reset()
                return
            try:
                hooks._restarting(feed, reset)
            except BaseException as error:
                drop_own_frames(error)
                raise

        return _reset

    # --- an iterator begins, or begins anew ---------------------------------------------------------------------------

    def _begin_iterator(self, iterator: Any, loader: Any, build: Callable[[], None]) -> None:
        record = self._record_of(loader)
        feed = Feed(record, bare_copy(loader))
        iterator.__dict__[FEED] = feed
        record.iterator = weakref.ref(iterator)
        feed.board = self._board_for(record, iterator, loader)
        self._restarting(feed, build)

    def _restarting(self, feed: Feed, build: Callable[[], None]) -> None:
        record, clock, thread = feed.record, self._clock, threading.get_ident()
        mine = clock.mine()
        evaluates = mine and record.role == EVALUATION
        feed.first, feed.ended = True, False
        if evaluates:
            clock.evaluation_begins()
        if mine:
            clock.push(RESTART)
        self._busy.add(thread)
        board, self._times.board = self._times.board, feed.board
        begin = clock.elapsed_in_phase_ns()
        try:
            build()
        finally:
            self._times.board = board
            self._busy.discard(thread)
            record.restarts += 1
            if mine:
                record.restart_ns += clock.elapsed_in_phase_ns() - begin
                clock.pop()
            if evaluates:
                clock.evaluation_ends()

    def _begin_stream(self, iterator: Any) -> None:
        feed = iterator.__dict__.get(FEED)
        if feed is not None and not feed.foreign:
            feed.stream = iterator._sampler_iter = IndexStream(iterator._sampler_iter, keeps=not feed.iterable)

    def _board_for(self, record: LoaderRecord, iterator: Any, loader: Any) -> Board:
        method = start_method(loader)
        board = Board(loader.num_workers if method in (None, "fork") else 0, seen=method in (None, "fork"))
        record.add_board(iterator, board)
        return board

    def _record_of(self, loader: Any) -> LoaderRecord:
        record = self._by_id.get(id(loader))
        if record is not None and record.loader() is loader:
            return record
        _, where = self._made_at.get(id(loader), (None, None))
        signature = signature_of(loader, where)
        for record in self._records:
            if record.signature == signature and record.gone:
                record.loader = weakref.ref(loader)
                break
        else:
            record = self._excluded(functools.partial(LoaderRecord, len(self._records), loader, where))
            self._records.append(record)
        self._by_id = {id(one): record for record in self._records for one in [record.loader()] if one is not None}
        return record


def _after_fork(reference: weakref.ref[LoaderHooks]) -> None:
    """In a forked child only the times of fetching go on: the clock and the loop are the parent's."""
    hooks = reference()
    if hooks is not None:
        hooks._inert = True
        hooks._times.in_worker = True
