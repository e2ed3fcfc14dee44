"""Path from the script's `next` to its batch: waits, counts, replays and restarts.

Everything in `deliver` runs for every batch of the script, so the common path is short.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
import weakref
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, Callable

from ...refused import Refused
from ..base.pass_through import passes_on, passes_on_to_c
from ..loop.clock import DATA_WAIT, RESTART, StepClock
from ..loop.samples import INDICES, LEADING_DIMENSION, count_samples
from .evaluation_batches import EvaluationBatches
from .feed import FEED, Feed
from .record import EVALUATION, UNUSED, LoaderRecord, bare_copy
from .register import Register
from .replay import replayed
from .shares import Sharing
from .stream import IndexStream
from .switch import Switch
from .tape import Tape
from .times import Board, FetchTimes, start_method

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

WAIT_MEMORY = 0.1
"""Weight of the newest wait in the running mean: about the last ten batches define an ordinary wait."""

RESTART_FACTOR = 2.0
"""First waits of up to this many ordinary ones count as ordinary: single waits scatter by that much."""


class Deliveries:
    """Target of the wrappers in `patch`, one instance per process."""

    def __init__(self, clock: StepClock) -> None:
        self._clock = clock
        self.register = Register()
        self.times = FetchTimes()
        self.switch = Switch(self._inner_fetcher)
        self.evaluation = EvaluationBatches(self.register)
        self.busy: set[int] = set()
        """Threads inside a loader, or doing our own work: their reads and builds meanwhile are not the loop's."""
        self.torch_next: Callable[[Any], Any] = next
        self.inert = False
        """True in forked children, and after the end: torch's methods then work unchanged."""
        self.suspended = False
        self.replaying = False
        self.tape: Tape | None = None
        """Tape that the training loader's batches are kept on, and come again from; None keeps none."""
        self.end_requested = False
        self.is_over: Callable[[bool], bool] | None = None
        """Callable asked, with whether an epoch begins, at each batch of the training: True ends the loader."""
        self.hold_ends = False
        """True while a training loader that ends begins its next epoch by itself, which prolongs the script's epoch.
        Not if the script has asked how many batches there are: it may count on them."""
        self.late_refusal: str | None = None
        """Reason why settings were given up when they were due (the baseline has been back since); else None."""
        self.on_late_refusal: Callable[[str], None] | None = None
        """Callable notified of a late refusal at once; it must not set anything itself."""
        self.on_prolonged: Callable[[int], None] | None = None
        """Callable notified of the number of batches of an epoch that continues past them."""
        self.before_batch: Callable[[], None] | None = None
        """Callable run when the training thread asks any loader for a batch."""
        self.on_train_batch: Callable[[Any], None] | None = None
        """Callable given the indices of each batch of the training loader to the training thread; None at its end.

        They are a `stream.Part` for a part of a batch.
        """
        self.sharing: Sharing | None = None
        """Sharing of each batch of the training loader among several processes; None if this one takes all of it."""
        self.drawing: Callable[[bool], contextlib.AbstractContextManager[object]] = contextlib.nullcontext
        """Context in which the training loader draws an epoch's order; True: its iterator begins, False: it draws."""
        self.on_batch: Callable[[Any, Any], None] | None = None
        """Callable given each batch of the training loader, and torch's iterator that has fetched it."""
        self.on_failure: Callable[[Exception], bool] | None = None
        """Callable notified if a batch of the training loader cannot be fetched with its present settings.

        If it has changed the settings and returns True, the batch is fetched again.
        """

    # --- delivering a batch -----------------------------------------------------------------------------------------

    @passes_on
    def deliver(self, iterator: object, feed: Feed) -> Any:
        thread = threading.get_ident()
        if thread in self.busy:
            return self.torch_next(iterator)
        feed.record.reader = thread
        if self.suspended:
            batch = self._supply(iterator, feed)[0]
            if self.on_batch is not None and feed.record is self.register.train:
                self.on_batch(batch, feed.fetcher(iterator))
            return batch
        record, clock = feed.record, self._clock
        mine = thread == clock.owner
        evaluates = mine and record.role == EVALUATION
        self.busy.add(thread)
        if evaluates:
            clock.evaluation_begins()
            clock.read_for_evaluation()
        elif mine and clock.awaits_training and record is self.register.train:
            clock.training_continues()
        if mine:
            if self.before_batch is not None:
                self.before_batch()
            clock.push(DATA_WAIT)
        try:
            batch, index, samples = self._supply(iterator, feed)
            self._count(feed, batch, index, samples, mine)
            if self.on_batch is not None and feed.record is self.register.train:
                self.on_batch(batch, feed.fetcher(iterator))
            return batch
        finally:
            if mine:
                if feed.first:
                    self._settle_first_wait(feed)
                    clock.pop()
                else:
                    ordinary, spent = record.ordinary_wait_ns, clock.pop()
                    record.ordinary_wait_ns = spent if ordinary is None else ordinary + WAIT_MEMORY * (spent - ordinary)
            if evaluates:
                clock.evaluation_ends()
            self.busy.discard(thread)

    @passes_on
    def _supply(self, iterator: object, feed: Feed) -> tuple[Any, Any, int | None]:
        """Return a batch, its index, and its number of samples if known already."""
        if feed.ended:
            raise StopIteration
        feed.given += 1
        if feed.record is not self.register.train or feed.foreign:
            return (*self._next_of_others(iterator, feed), None)
        if self.evaluation.seen:
            self.evaluation.training_continues(self._clock.updates)
        overruns = feed.replayed and feed.overruns
        is_over = self.is_over is not None and self.is_over(feed.first)
        if is_over or (self.end_requested and not feed.first) or (overruns and not self._holds_end(feed)):
            self.end_requested = False
            self.switch.end(feed, iterator)
            raise StopIteration
        if feed.version != self.switch.version:
            self._restarting(feed, functools.partial(self._follow_late, feed, iterator), begins=feed.first)
        if overruns and self.on_prolonged is not None:
            self.on_prolonged(feed.given - 1)
        if self.replaying:
            fetch = functools.partial(self._next_or_next_epoch, iterator, feed)
            return replayed(feed, fetch, self._samples, self._excluded)
        if self.tape is not None:
            feed.replayed = feed.replayed or self.tape.is_behind
            fetch = functools.partial(self._next_or_next_epoch, iterator, feed)
            return *self.tape.next(fetch, self._clock.mine()), None
        try:
            return (*self._next_or_next_epoch(iterator, feed), None)
        except StopIteration:
            raise
        except Exception as error:
            if feed.inner is None or feed.iterable or self.on_failure is None:
                raise
            feed.remember_failed()
            if not self.on_failure(error):
                feed.forget_failed()
                raise
        if feed.version != self.switch.version:
            self._restarting(feed, functools.partial(self._follow_late, feed, iterator), begins=False)
        return (*self._next_or_next_epoch(iterator, feed), None)

    @passes_on
    def _next_of_others(self, iterator: object, feed: Feed) -> tuple[Any, Any]:
        """Return the next batch, and its index, of a loader that does not feed the training."""
        try:
            found = feed.next_batch(iterator, self.torch_next)
        except StopIteration:
            self.evaluation.ends(feed.record)
            raise
        self.evaluation.delivers(feed.record)
        return found

    def _holds_end(self, feed: Feed) -> bool:
        return self.hold_ends and not self.register.counts_batches(feed.record)

    def _follow_late(self, feed: Feed, iterator: object) -> None:
        """Follow the switch late; settings that could not be tried when requested must not end the script."""
        try:
            self.switch.follow(feed, iterator)
        except Refused as refusal:
            self.late_refusal = str(refusal)
            self.switch.want({})
            self.switch.follow(feed, iterator)
            if self.on_late_refusal is not None:
                self.on_late_refusal(str(refusal))

    @passes_on
    def _next_or_next_epoch(self, iterator: object, feed: Feed) -> tuple[Any, Any]:
        try:
            return feed.next_batch(iterator, self.torch_next)
        except StopIteration:
            if not self._holds_end(feed):
                if self.on_train_batch is not None:
                    self.on_train_batch(None)
                if feed.inner is not None:
                    self.switch.end(feed, iterator)
                feed.ended = feed.ended or not feed.iterable
                raise
        if self.on_prolonged is not None:
            self.on_prolonged(feed.given - 1)
        self._restarting(feed, functools.partial(self.switch.next_epoch, feed, iterator))
        feed.begins_epoch()
        feed.given = 1  # the requested batch
        return feed.next_batch(iterator, self.torch_next)  # ends again if the loader is empty

    def _samples(self, feed: Feed, batch: object, index: object) -> tuple[int | None, str]:
        board = feed.inner_board if feed.inner is not None else feed.board
        items = board.last_items if board is not None and feed.iterable and not feed.workers else 0
        return count_samples(batch, index, items)

    def _count(self, feed: Feed, batch: object, index: object, samples: int | None, mine: bool) -> None:
        record = feed.record
        record.last_index = index
        if isinstance(index, list) and samples is None:
            samples = len(getattr(index, "whole", index))
            record.samples_from = record.samples_from or INDICES
        elif samples is None:
            samples, source = self._samples(feed, batch, index)
            if record.samples_from != LEADING_DIMENSION:
                record.samples_from = source
        record.batches += 1
        self.register.delivered(record)
        if samples is None:
            record.samples_known = False
            return
        record.samples += samples
        if not mine:
            record.read_ahead.append(samples)
        elif record is self.register.train:
            self._clock.add_samples(samples)
            if self.on_train_batch is not None:
                self.on_train_batch(index)
        else:
            record.pending_samples += samples

    def _settle_first_wait(self, feed: Feed) -> None:
        """Count the first wait of an epoch beyond an ordinary one as a restart: workers start, queues fill."""
        record, wait_ns = feed.record, self._clock.elapsed_in_phase_ns()
        ordinary = record.ordinary_wait_ns
        feed.first = False
        if feed.workers and (ordinary is None or wait_ns > RESTART_FACTOR * ordinary):
            self._clock.rename_top(RESTART)
            record.restart_ns += int(wait_ns - (ordinary or 0))
            self._begins_unknown(record, wait_ns)

    def _begins_unknown(self, record: LoaderRecord, spent_ns: int) -> None:
        if record.role == UNUSED:
            self._clock.loader_begins(record, spent_ns)

    def _excluded(self, work: Callable[[], Any]) -> Any:
        return self._clock.exclude(work) if self._clock.mine() else work()

    # --- start and restart of an iterator -----------------------------------------------------------------------------

    def made(self, loader: DataLoader[object], frame: FrameType) -> None:
        """Note that the script makes a loader."""
        self.register.made(loader, frame)

    def record_of(self, loader: DataLoader[object]) -> LoaderRecord:
        record: LoaderRecord | None = self.register.find(loader)
        return record or self._excluded(functools.partial(self.register.add, loader))

    @passes_on
    def begin_iterator(self, iterator: object, loader: DataLoader[object], build: Callable[[], None]) -> None:
        """Begin an iterator that the script requests; `build` is torch's way to make it."""
        record = self.record_of(loader)
        feed = Feed(record, bare_copy(loader))
        iterator.__dict__[FEED] = feed
        record.iterator = weakref.ref(iterator)
        feed.board = self._board_for(loader, watched=record.watches_draws)
        record.add_board(iterator, feed.board)
        if loader.num_workers and record is self.register.train and self.switch.plan(loader) is not None:
            feed.own_ended = True
            build = functools.partial(self.switch.begin_without_workers, iterator, loader)
        with self._drawing(record, begins=True):
            self._restarting(feed, build)

    @passes_on
    def begin_again(self, iterator: object, feed: Feed, reset: Callable[[], None]) -> None:
        """Begin another epoch of a loader with persistent workers; `reset` is torch's way to begin it."""
        self.switch.drop(feed)
        feed.begins_epoch()
        switched = feed.record is self.register.train and self.switch.plan(feed.loader) is not None
        if feed.own_ended or (switched and not feed.iterable):
            reset = functools.partial(self.switch.sits_out, feed, iterator)
        with self._drawing(feed.record, begins=True):
            self._restarting(feed, reset)

    def _drawing(self, record: LoaderRecord, *, begins: bool) -> contextlib.AbstractContextManager[object]:
        return self.drawing(begins) if record is self.register.train else contextlib.nullcontext()

    @passes_on
    def _restarting(self, feed: Feed, build: Callable[[], Any], begins: bool = True) -> None:
        """Run `build` (the start of workers and the like) in the restart phase."""
        record, clock = feed.record, self._clock
        mine = clock.mine() and not self.suspended
        evaluates = mine and record.role == EVALUATION
        feed.first, feed.ended = feed.first or begins, False
        if evaluates:
            clock.evaluation_begins()
        if mine:
            clock.push(RESTART)
        board, self.times.board = self.times.board, feed.board
        begin = clock.elapsed_in_phase_ns()
        try:
            with self.own_work():
                build()
        finally:
            self.times.board = board
            if begins:
                record.restarts += 1
                record.duplicates.new_epoch()
            if mine:
                record.restart_ns += clock.elapsed_in_phase_ns() - begin
                self._begins_unknown(record, clock.pop())
            if evaluates:
                clock.evaluation_ends()

    @passes_on_to_c
    def _draw_first(self, record: LoaderRecord, source: Iterator[Any]) -> Any:
        """Draw the first indices of an epoch in the restart phase: many samplers draw or sort the whole epoch then."""
        clock = self._clock
        mine = clock.mine() and not self.suspended
        waits = mine and clock.phase != RESTART
        if waits:
            clock.push(RESTART)
        begin_ns = time.perf_counter_ns()
        try:
            with self._drawing(record, begins=False):
                return next(source)
        finally:
            if mine:
                record.draw_ns += time.perf_counter_ns() - begin_ns
            if waits:
                spent_ns = clock.pop()
                record.restart_ns += spent_ns
                self._begins_unknown(record, spent_ns)

    def _inner_fetcher(self, feed: Feed, loader: DataLoader[object]) -> Any:
        fetcher, feed.inner_board = self.make_fetcher(loader)
        feed.record.add_board(fetcher, feed.inner_board)
        return fetcher

    def make_fetcher(self, loader: DataLoader[object]) -> tuple[Any, Board]:
        """Return torch's iterator of a bare loader, for our own work: the hooks see only its times."""
        from torch.utils.data import dataloader

        board = self._board_for(loader)
        outer, self.times.board = self.times.board, board
        try:
            with self.own_work():
                if loader.num_workers:
                    return dataloader._MultiProcessingDataLoaderIter(loader), board
                return dataloader._SingleProcessDataLoaderIter(loader), board
        finally:
            self.times.board = outer

    @contextlib.contextmanager
    def own_work(self) -> Iterator[None]:
        """Mark what this thread reads or builds inside as ours, not the script's."""
        thread = threading.get_ident()
        nested = thread in self.busy
        self.busy.add(thread)
        try:
            yield
        finally:
            if not nested:
                self.busy.discard(thread)

    def begin_stream(self, iterator: Any) -> None:
        feed = iterator.__dict__.get(FEED)
        if feed is not None and not feed.foreign:
            feed.stream = iterator._sampler_iter = IndexStream(
                iterator._sampler_iter, not feed.iterable, functools.partial(self._draw_first, feed.record)
            )
            if feed.record is self.register.train:
                feed.stream.sharing = self.sharing
            self.evaluation.begins(feed)

    @staticmethod
    def _board_for(loader: DataLoader[object], watched: bool = False) -> Board:
        seen = start_method(loader) in (None, "fork")
        return Board(loader.num_workers if seen else 0, seen=seen, watched=watched and seen)
