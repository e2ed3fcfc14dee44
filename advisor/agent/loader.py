"""Hooks on torch's data loaders: what the loop waits for, what each loader is for, how many samples it delivered.

The script keeps its own loaders and iterators, of their own types: only methods of torch's iterator classes are
wrapped. Everything here runs for every batch, so the common way through `_deliver` is short.
"""

from __future__ import annotations

import functools
import os
import threading
import weakref
from types import FrameType
from typing import Any, Callable

from . import loader_patch
from .clock import DATA_WAIT, RESTART, StepClock
from .loader_feed import FEED, Feed
from .loader_limits import refuse_settings
from .loader_record import EVALUATION, LoaderRecord, bare_copy
from .loader_register import Register
from .loader_switch import Switch
from .loader_times import (
    Board,
    FetchTimes,
    start_method,
)
from .patches import Patches
from .refused import Refused
from .replay import Replay
from .samples import LEADING_DIMENSION, count_samples
from .stream import IndexStream

WAIT_MEMORY = 0.1
"""Weight of the newest wait in the running mean: the last ten or so batches are the ordinary ones."""

RESTART_FACTOR = 2.0
"""A first wait up to this many ordinary ones is an ordinary one: single waits scatter by that much."""


class LoaderHooks:
    """All loaders of the process. Made before torch is there; `install` is called once it is."""

    def __init__(self, clock: StepClock) -> None:
        self._clock = clock
        self._register = Register()
        self.busy: set[int] = set()
        """Threads inside a loader, or doing our own work: what they read or build meanwhile is not the loop's."""
        self._times = FetchTimes()
        self._patches = Patches()
        self._next: Callable[[Any], Any] = next
        self._replaying = False
        self._end_asked = False
        self._switch = Switch(self._build_fetcher)
        self.inert = False
        self._suspended = False
        self.late_refusal: str | None = None
        """Why settings were given up when it was their turn (the loader is as written since then); else None."""
        self.hold_ends = False
        """While True a training loader that ends begins its next epoch by itself."""

    # --- installing -------------------------------------------------------------------------------------------------

    def install(self) -> None:
        """Wrap torch's loader classes. Call it right after torch was imported."""
        self._next = loader_patch.install(self, self._patches, self._times)
        if hasattr(os, "register_at_fork"):
            reference = weakref.ref(self)
            os.register_at_fork(after_in_child=functools.partial(_after_fork, reference))

    def close(self) -> None:
        """Take all wrappers off again; iterators that are in use go on as torch made them."""
        self.inert = True
        self._switch.close()
        self._patches.restore()

    def suspend(self) -> None:
        """Only the place in the epoch is kept until `resume`: nothing is timed, nothing counted."""
        self._suspended = self._times.suspended = True

    def resume(self) -> None:
        self._suspended = self._times.suspended = False

    # --- roles ------------------------------------------------------------------------------------------------------

    @property
    def train(self) -> LoaderRecord | None:
        """The loader that feeds the training; None as long as there is none."""
        return self._register.train

    def saw_training_forward(self) -> None:
        """A forward that trains has begun: what was read for it is training data."""
        self._register.saw_training_forward(self._clock.add_samples)

    def saw_evaluation_forward(self) -> None:
        """A forward that does not train has begun: the loader read last is for evaluation."""
        self._register.saw_evaluation_forward()

    # --- what is asked ----------------------------------------------------------------------------------------------

    def facts(self) -> list[dict[str, Any]]:
        """Every loader that was read, with the fields of `types.LoaderFacts`."""
        return [record.as_facts() for record in self._register.records]

    @property
    def samples_from(self) -> str:
        """What told the number of samples: `indices`, `leading dimension` or `not known`."""
        return (self.train.samples_from if self.train is not None else None) or "not known"

    def take_sums(self) -> dict[str, Any] | None:
        """The fields of `wire.LoaderSums` of the training loader since the last call; None without a loader."""
        if self.train is None:
            return None
        feed, _ = self._current()
        return self.train.take_sums(feed.workers if feed is not None else None)

    def in_flight_batches(self) -> int:
        """Batches of the training loader that may have been fetched while the loop stood still."""
        feed, iterator = self._current()
        if feed is None:
            return 0
        fetcher = feed.fetcher(iterator)
        return int(getattr(fetcher, "_num_workers", 0)) * int(getattr(fetcher, "_prefetch_factor", None) or 0)

    def batch_size(self) -> int:
        """Micro batch of the training loader as it is set now. Raises Refused where there is none."""
        size = self._switch.wanted.get("batch_size")
        if size is None and self.train is not None:
            size = self.train.facts["batch_size"]
        if size is None:
            raise Refused("no DataLoader with a batch size feeds the training")
        return int(size)

    def _current(self) -> tuple[Feed | None, Any]:
        """What the training was read from last, where it is alive."""
        record = self.train
        iterator = record.iterator() if record is not None and record.iterator is not None else None
        feed = iterator.__dict__.get(FEED) if iterator is not None else None
        return feed, iterator

    # --- what can be changed ----------------------------------------------------------------------------------------

    def switch(self, **settings: Any) -> None:
        """Give the training loader these settings from the next batch on, and all others as written.

        num_workers, prefetch_factor, pin_memory, persistent_workers, batch_size (the micro batch). Raises Refused with
        the reason, and then nothing has changed.
        """
        record = self.train
        if record is None:
            raise Refused("no DataLoader feeds the training: there is nothing to set")
        feed, iterator = self._current()
        loader = feed.loader if feed is not None else record.loader()
        if feed is not None and feed.foreign:
            raise Refused(f"{type(iterator).__module__}.{type(iterator).__qualname__} is no iterator of torch's own")
        if settings and loader is None:
            raise Refused("the loader that fed the training is gone, and no other has been read since")
        if settings:
            refuse_settings(loader, settings)
        before = self._switch.wanted
        self._switch.want(settings)
        self.late_refusal = None
        if feed is None or feed.ended or record.reader != threading.get_ident():
            return  # whoever reads next does the rest
        try:
            self._switch.follow(feed, iterator)
        except Refused:
            self._switch.want(before)
            raise

    def adjust(self, **settings: Any) -> None:
        """As `switch`, but what is not named stays as it is set now; None is as written."""
        wanted = {**self._switch.wanted, **settings}
        self.switch(**{name: value for name, value in wanted.items() if value is not None})

    def end_epoch_now(self) -> None:
        """The training loader ends at its next batch, or after its first one."""
        self._end_asked = True

    def replay(self, on: bool) -> None:
        """What-if: from the next batch on, the training loader hands out clones of batches that it fetched before."""
        self._replaying = on
        if not on and self.train is not None:
            self.train.replay = Replay()

    # --- delivering a batch -----------------------------------------------------------------------------------------

    def deliver(self, iterator: Any, feed: Feed) -> Any:
        thread = threading.get_ident()
        if thread in self.busy:
            return self._next(iterator)
        feed.record.reader = thread
        if self._suspended:
            return self._supply(iterator, feed)[0]
        record, clock = feed.record, self._clock
        mine = clock.mine()
        evaluates = mine and record.role == EVALUATION
        self.busy.add(thread)
        if evaluates:
            clock.evaluation_begins()
        if mine:
            clock.push(DATA_WAIT)
        try:
            batch, index, samples = self._supply(iterator, feed)
            self._count(feed, batch, index, samples)
            return batch
        finally:
            if mine:
                self._settle_wait(feed)
                clock.pop()
            if evaluates:
                clock.evaluation_ends()
            self.busy.discard(thread)

    def _supply(self, iterator: Any, feed: Feed) -> tuple[Any, Any, int | None]:
        """A batch, the index it was made of, and its samples where they are known already."""
        if feed.ended:
            raise StopIteration
        if feed.record is not self.train or feed.foreign:
            return (*feed.next_batch(iterator, self._next), None)
        if self._end_asked and not feed.first:
            self._end_asked = False
            self._switch.end(feed, iterator)
            raise StopIteration
        if feed.version != self._switch.version:
            self._restarting(feed, functools.partial(self._follow_late, feed, iterator), begins=feed.first)
        if self._replaying:
            return self._replayed(iterator, feed)
        return (*self._next_or_next_epoch(iterator, feed), None)

    def _follow_late(self, feed: Feed, iterator: Any) -> None:
        """Settings that could not be tried when they were asked for must not end the script."""
        try:
            self._switch.follow(feed, iterator)
        except Refused as refusal:
            self.late_refusal = str(refusal)
            self._switch.want({})
            self._switch.follow(feed, iterator)

    def _next_or_next_epoch(self, iterator: Any, feed: Feed) -> tuple[Any, Any]:
        try:
            return feed.next_batch(iterator, self._next)
        except StopIteration:
            if not self.hold_ends:
                if feed.inner is not None:
                    self._switch.end(feed, iterator)
                feed.ended = feed.ended or not feed.iterable
                raise
        self._restarting(feed, functools.partial(self._switch.next_epoch, feed, iterator))
        return feed.next_batch(iterator, self._next)  # ends again where the loader is empty

    def _replayed(self, iterator: Any, feed: Feed) -> tuple[Any, Any, int | None]:
        replay = feed.record.replay
        if not replay.full:
            try:
                batch, index = feed.next_batch(iterator, self._next)
            except StopIteration:
                if replay.empty:
                    raise
            else:
                samples, _ = self._samples(feed, batch, index)
                self._excluded(functools.partial(replay.remember, batch, samples))
                return batch, index, samples
        batch, samples = self._excluded(replay.next)
        return batch, None, samples

    def _samples(self, feed: Feed, batch: Any, index: Any) -> tuple[int | None, str]:
        board = feed.inner_board if feed.inner is not None else feed.board
        items = board.last_items if board is not None and feed.iterable and not feed.workers else 0
        return count_samples(batch, index, items)

    def _count(self, feed: Feed, batch: Any, index: Any, samples: int | None) -> None:
        record = feed.record
        if samples is None:
            samples, source = self._samples(feed, batch, index)
            if record.samples_from != LEADING_DIMENSION:
                record.samples_from = source
        record.batches += 1
        self._register.delivered(record)
        if samples is None:
            record.samples_known = False
            return
        record.samples += samples
        if record is self._register.train:
            self._clock.add_samples(samples)
        else:
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

    # --- an iterator begins, or begins anew ---------------------------------------------------------------------------

    def made(self, loader: Any, frame: FrameType) -> None:
        """The script makes a loader."""
        self._register.made(loader, frame)

    def record_of(self, loader: Any) -> LoaderRecord:
        record: LoaderRecord | None = self._register.find(loader)
        return record or self._excluded(functools.partial(self._register.add, loader))

    def begin_iterator(self, iterator: Any, loader: Any, build: Callable[[], None]) -> None:
        """The script asks for an iterator; `build` is torch's way to make it."""
        record = self.record_of(loader)
        feed = Feed(record, bare_copy(loader))
        iterator.__dict__[FEED] = feed
        record.iterator = weakref.ref(iterator)
        feed.board = self._board_for(loader)
        record.add_board(iterator, feed.board)
        if loader.num_workers and record is self.train and self._switch.plan(loader) is not None:
            feed.own_ended = True
            build = functools.partial(self._switch.begin_without_workers, iterator, loader)
        self._restarting(feed, build)

    def begin_again(self, iterator: Any, feed: Feed, reset: Callable[[], None]) -> None:
        """The script asks a loader with persistent workers for another epoch; `reset` is torch's way to begin it."""
        self._switch.drop(feed)
        switched = feed.record is self.train and self._switch.plan(feed.loader) is not None
        if feed.own_ended or (switched and not feed.iterable):
            reset = functools.partial(self._switch.sits_out, feed, iterator)
        self._restarting(feed, reset)

    def drop(self, feed: Feed) -> None:
        """The script shuts its iterator down."""
        self._switch.drop(feed)

    def _restarting(self, feed: Feed, build: Callable[[], Any], begins: bool = True) -> None:
        """Worker start and kin, in the phase that is theirs."""
        record, clock, thread = feed.record, self._clock, threading.get_ident()
        mine = clock.mine() and not self._suspended
        evaluates = mine and record.role == EVALUATION
        feed.first, feed.ended = feed.first or begins, False
        if evaluates:
            clock.evaluation_begins()
        if mine:
            clock.push(RESTART)
        nested = thread in self.busy
        self.busy.add(thread)
        board, self._times.board = self._times.board, feed.board
        begin = clock.elapsed_in_phase_ns()
        try:
            build()
        finally:
            self._times.board = board
            if not nested:
                self.busy.discard(thread)
            record.restarts += begins
            if mine:
                record.restart_ns += clock.elapsed_in_phase_ns() - begin
                clock.pop()
            if evaluates:
                clock.evaluation_ends()

    def _build_fetcher(self, feed: Feed, loader: Any) -> Any:
        """torch's iterator of a bare loader, which does our work: nothing of it is seen by the hooks."""
        from torch.utils.data import dataloader

        thread = threading.get_ident()
        nested = thread in self.busy
        self.busy.add(thread)
        outer, self._times.board = self._times.board, self._board_for(loader)
        try:
            if loader.num_workers:
                fetcher: Any = dataloader._MultiProcessingDataLoaderIter(loader)
            else:
                fetcher = dataloader._SingleProcessDataLoaderIter(loader)
            feed.record.add_board(fetcher, self._times.board)
            feed.inner_board = self._times.board
        finally:
            self._times.board = outer
            if not nested:
                self.busy.discard(thread)
        return fetcher

    def begin_stream(self, iterator: Any) -> None:
        feed = iterator.__dict__.get(FEED)
        if feed is not None and not feed.foreign:
            feed.stream = iterator._sampler_iter = IndexStream(iterator._sampler_iter, keeps=not feed.iterable)

    @staticmethod
    def _board_for(loader: Any) -> Board:
        method = start_method(loader)
        return Board(loader.num_workers if method in (None, "fork") else 0, seen=method in (None, "fork"))


def _after_fork(reference: weakref.ref[LoaderHooks]) -> None:
    """In a forked child only the times of fetching go on: the clock and the loop are the parent's."""
    hooks = reference()
    if hooks is not None:
        hooks.inert = True
        hooks._times.in_worker = True
