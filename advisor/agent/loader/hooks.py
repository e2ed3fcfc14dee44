"""Hooks on torch's data loaders: the loop's waits, the role of each loader, the number of samples it delivered.

The script keeps its own loaders and iterators, of their own types: only methods of torch's iterator classes are
wrapped. The rest of the agent uses this interface; `patch` wraps, `delivery` does the work.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from ...refused import Refused
from ..base import forks
from ..base.patches import Patches
from ..loop.clock import StepClock
from . import patch
from .delivery import Deliveries
from .drain import drain
from .evaluation_batches import EvaluationBatches
from .feed import FEED, Feed
from .limits import refuse_settings
from .record import LoaderRecord
from .replay import Replay
from .switch import adds_repeats, plan_of
from .worker_memory import WorkerMemory

SHARDING_PROBE_S = 10.0
"""Time for workers to start and to deliver some batches each; the batches end the probe long before."""

SHARDING_PROBE_BATCHES = 6
"""Batches of each worker: unsharded workers repeat each other from the first batch on."""

FEW_DUPLICATES = 0.02
"""Share of samples that may be the same by chance: real data hold some twice."""

MOST_NAMED = 20
"""Number of generators that a profile names."""


class LoaderHooks:
    """All loaders of the process. Created before torch is imported; `install` is called afterwards."""

    def __init__(self, clock: StepClock, *, may_read_again: bool = True) -> None:
        """Prepare; `may_read_again` if the process is disposable: samples may be read more often than by the script."""
        self._clock = clock
        self._may_read_again = may_read_again
        self.deliveries = Deliveries(clock)
        """Worker behind these hooks; it also calls back, on failures and at batches and the ends of epochs."""
        self.register = self.deliveries.register
        """Roles of the loaders; on the hot path it is notified of forwards directly."""
        self._patches = Patches()
        self._set_by: dict[str, dict[str, Any]] = {}
        """Settings by `adjust`, per caller; if two set the same one, the later wins."""
        self._holding_back = False
        self._worker_memory = WorkerMemory()

    # --- installing -------------------------------------------------------------------------------------------------

    def install(self) -> None:
        """Wrap torch's loader classes. Call this right after torch was imported."""
        self.deliveries.torch_next = patch.install(self.deliveries, self._patches, self.deliveries.times)
        forks.watch(self)

    def close(self) -> None:
        """Remove all wrappers; iterators in use continue as torch made them."""
        self.deliveries.inert = True
        self.deliveries.switch.close()
        self._patches.restore()

    def forked(self) -> None:
        """Keep only the times of fetching in a forked child: the clock and the loop are the parent's."""
        self.deliveries.inert = self.deliveries.times.in_worker = True

    def suspend(self) -> None:
        """Keep only the place in the epoch until `resume`: nothing is timed or counted."""
        self.deliveries.suspended = self.deliveries.times.suspended = True

    def resume(self) -> None:
        self.deliveries.suspended = self.deliveries.times.suspended = False

    def set_by(self) -> list[str]:
        """Return the callers that have something set now."""
        return [name for name, settings in self._set_by.items() if settings]

    def check_whole(self, batches: int) -> None:
        """Deliver this number of batches as a whole before their parts, once batches are split."""
        self.deliveries.switch.checks = batches

    def fill_caches(self, seconds: float) -> None:
        """Fill a sample cache ahead for `seconds` when it is set, for windows that should show later epochs."""
        self.deliveries.switch.caches.fill_s = seconds

    @property
    def is_caching(self) -> bool:
        """True if samples are cached now."""
        return self.deliveries.switch.is_caching

    def take_read_anew(self) -> int:
        """Return the samples read since the last call although samples are cached: the cache did not hold them."""
        return self.deliveries.switch.caches.take_read_anew()

    # --- roles ------------------------------------------------------------------------------------------------------

    @property
    def train(self) -> LoaderRecord | None:
        """Loader that feeds the training; None as long as there is none."""
        return self.register.train

    def saw_training_forward(self) -> None:
        """Note that a training forward has begun: the data read for it is training data."""
        self.register.saw_training_forward(self._clock.add_samples)

    def saw_micro_step(self) -> None:
        """Note that a backward begins: if another thread reads the loader, each of its batches has one, in order."""
        if self.train is not None and self.train.read_ahead:
            self._clock.add_samples(self.train.read_ahead.popleft())

    def saw_evaluation_forward(self, weak: bool = False) -> None:
        """Note that a forward without training has begun: the loader read last is for evaluation."""
        self.register.saw_evaluation_forward(weak)

    # --- reports ----------------------------------------------------------------------------------------------------

    def facts(self) -> list[dict[str, Any]]:
        """Return every loader that was read, with the fields of `types.LoaderFacts`."""
        return [record.as_facts() for record in self.register.records]

    def workload_facts(self) -> dict[str, object]:
        """Return the fields of `types.ScriptFacts` on the training loader."""
        if self.train is None:
            return {}
        return {
            **self.train.draws(),
            **self.train.repeats(),
            **self._held_generators(),
            "fetching_threads": self.train.fetching_threads(),
            "loader_starts": self.train.restarts,
        }

    def _held_generators(self) -> dict[str, object]:
        """Return the generators that the training's dataset holds, and why workers would repeat their draws, if so."""
        loader = self._loader_now()
        if loader is None:
            return {}
        draws = self.deliveries.switch.draws
        return {"dataset_generators": draws.held(loader)[:MOST_NAMED], "generators_fault": draws.fault(loader)}

    @property
    def samples_from(self) -> str:
        """Source of the number of samples: `indices`, `leading dimension` or `not known`."""
        return (self.train.samples_from if self.train is not None else None) or "not known"

    def read_worker_memory(self) -> None:
        """Read the memory of the training loader's workers, between two updates."""
        feed, iterator = self.current()
        if feed is not None and feed.workers:
            self._worker_memory.read(feed.fetcher(iterator))

    def worker_memory(self) -> dict[str, Any] | None:
        """Return the fields of `types.WorkerMemory`; None if no worker was seen to grow."""
        loader = self._loader_now()
        return self._worker_memory.report(loader.dataset) if loader is not None else None

    def take_sums(self) -> dict[str, Any] | None:
        """Return the fields of `wire.LoaderSums` of the training loader since the last call; None without a loader."""
        if self.train is None:
            return None
        feed, _ = self.current()
        received_ns, self.deliveries.times.received_ns = self.deliveries.times.received_ns, 0
        return self.train.take_sums(feed.workers if feed is not None else None, received_ns)

    def in_flight_batches(self) -> int:
        """Return the batches of the training loader that its workers may hold, finished or not.

        They hold none beyond the epoch: each one begins with empty queues.
        """
        feed, iterator = self.current()
        if feed is None:
            return 0
        held = self.fetching_workers() * int(getattr(feed.fetcher(iterator), "_prefetch_factor", None) or 0)
        length = self.epoch_batches()
        return held if length is None or feed.given > length else min(held, length - feed.given)

    def epoch_batches(self) -> int | None:
        """Return the batches of the training loader in an epoch; None if unknown, or with another batch size."""
        feed, _ = self.current()
        if feed is None or self.train is None or feed.size is not None or feed.split is not None:
            return None
        length: int | None = self.train.facts["length_batches"]
        return length

    def fetching_workers(self) -> int:
        """Return the number of workers that fetch for the training loader now."""
        feed, iterator = self.current()
        return int(getattr(feed.fetcher(iterator), "_num_workers", 0)) if feed is not None else 0

    def busy_workers(self, batches_per_s: float) -> float | None:
        """Return the fraction of the workers' time that this pace takes, by the fetches so far; None if not known."""
        fetch_s = self.train.fetch_s() if self.train is not None else None
        workers = self.fetching_workers()
        return batches_per_s * fetch_s / workers if fetch_s is not None and workers else None

    @property
    def switches(self) -> int:
        """Number of changes of the training loader's settings so far."""
        return self.deliveries.switch.version

    def killed_workers(self, wait_s: float) -> list[str]:
        """Describe the worker processes that a signal has ended, one line each.

        torch itself may report only a lost connection, which precedes the end of the process. Wait up to `wait_s` for
        that end.
        """
        from multiprocessing.connection import wait

        iterators = [record.iterator() for record in self.register.records if record.iterator is not None]
        workers = [worker for iterator in iterators for worker in getattr(iterator, "_workers", ())]
        wait([worker.sentinel for worker in workers], wait_s)
        return [
            f"DataLoader worker (pid {worker.pid}) was killed by signal {-worker.exitcode}"
            for worker in workers
            if worker.exitcode is not None and worker.exitcode < 0
        ]

    def batch_size(self) -> int:
        """Return the present micro batch of the training loader. Raises Refused if there is none."""
        return int(self._adjusted().get("batch_size") or self.baseline_batch_size())

    def baseline_batch_size(self) -> int:
        """Return the micro batch of the training loader in the baseline. Raises Refused if there is none."""
        size = self.train.facts["batch_size"] if self.train is not None else None
        if size is None:
            raise Refused("no DataLoader with a batch size feeds training")
        return int(size)

    def current(self) -> tuple[Feed | None, Any]:
        """Return the feed and iterator that the training last read from, if alive; else None."""
        record = self.train
        iterator = record.iterator() if record is not None and record.iterator is not None else None
        feed = iterator.__dict__.get(FEED) if iterator is not None else None
        return feed, iterator

    def _loader_now(self) -> Any:
        """Return the loader that the training last read from, or a bare copy of it; None if it is gone."""
        feed, _ = self.current()
        if feed is not None:
            return feed.loader
        return self.train.loader() if self.train is not None else None

    @property
    def evaluation(self) -> EvaluationBatches:
        """Batches of the loaders that evaluate."""
        return self.deliveries.evaluation

    # --- changes ----------------------------------------------------------------------------------------------------

    def switch(self, **settings: Any) -> None:
        """Give the training loader these settings from the next batch on; all others are as in the baseline.

        Settings: num_workers, prefetch_factor, pin_memory, persistent_workers, batch_size (the micro batch). Raises
        Refused with the reason; nothing has changed then.
        """
        record = self.train
        if record is None:
            raise Refused("no DataLoader feeds training")
        feed, iterator = self.current()
        loader = feed.loader if feed is not None else record.loader()
        if feed is not None and feed.foreign:
            raise Refused(f"{type(iterator).__module__}.{type(iterator).__qualname__} is not an iterator of torch")
        if settings and loader is None:
            raise Refused("the loader that fed training is gone, and no other has been read since")
        if settings:
            refuse_settings(loader, settings)
            self._refuse_duplicates(record, loader, settings.get("num_workers", 0))
            self._refuse_repeats(record, loader, settings)
        before = self.deliveries.switch.wanted
        self.deliveries.switch.want(settings)
        self.deliveries.late_refusal = None
        if feed is None or feed.ended or record.reader != threading.get_ident():
            return  # the next reader does the rest
        try:
            self.deliveries.switch.follow(feed, iterator)
        except Refused:
            self.deliveries.switch.want(before)
            raise

    def _refuse_duplicates(self, record: LoaderRecord, loader: Any, workers: int) -> None:
        """Refuse workers that do not share an iterable dataset out: they deliver it several times, fast and wrong."""
        if workers < 2 or workers == loader.num_workers or not record.facts["iterable"]:
            return
        if workers not in record.duplicates_with:
            report = self.drain(SHARDING_PROBE_S, SHARDING_PROBE_BATCHES * workers, workers)
            if "refused" in report:
                raise Refused(str(report["refused"]))
            record.duplicates_with[workers] = report["duplicates_fraction"]
        fraction = record.duplicates_with[workers]
        name = record.facts["dataset_class"]
        if fraction is None:
            raise Refused(f"it is unknown whether {workers} workers would share {name} or each repeat it")
        if fraction > FEW_DUPLICATES:
            raise Refused(
                f"{workers} workers repeat each other: {fraction:.0%} of the samples of {name} came twice; shard it "
                "with torch.utils.data.get_worker_info()"
            )

    def _refuse_repeats(self, record: LoaderRecord, loader: Any, settings: dict[str, Any]) -> None:
        """Refuse workers whose copies of the dataset's random states cannot be given seeds, and so would draw alike."""
        plan, draws = plan_of(loader, settings), self.deliveries.switch.draws
        if plan is None or not adds_repeats(loader, plan):
            return
        fault = draws.fault(loader)
        if fault is not None:
            raise Refused(fault)
        # Only a dataset that this process and thread read anyway can be read once more.
        if self._may_read_again and not loader.num_workers and record.reader == threading.get_ident():
            draws.refuse_hidden(loader, record.last_index, lambda own: self.deliveries.make_fetcher(own)[0])

    def adjust(self, by: str = "", **settings: object) -> None:
        """Change settings as `switch` does, but keep those not named here, and those of other callers.

        None gives up a setting of `by`.
        """
        if self.deliveries.late_refusal is not None:
            self._set_by.clear()  # the loader has had its baseline settings since
        before = dict(self._set_by)
        mine = {**self._set_by.pop(by, {}), **settings}
        self._set_by[by] = {name: value for name, value in mine.items() if value is not None}
        if self._holding_back:
            return
        try:
            self._switch_to_adjusted()
        except Refused:
            self._set_by = before
            raise

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Apply all adjustments made inside at once, at the end: each switch restarts the workers, and one setting may
        need the other. An exception inside prevents the switch."""
        outermost, self._holding_back = not self._holding_back, True
        try:
            yield
        finally:
            self._holding_back = not outermost
        if outermost:
            self._switch_to_adjusted()

    def _switch_to_adjusted(self) -> None:
        wanted = self._adjusted()
        if wanted != self.deliveries.switch.wanted:
            self.switch(**wanted)

    def _adjusted(self) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for settings in self._set_by.values():
            merged.update(settings)
        return merged

    def drain(self, seconds: float, max_batches: int, num_workers: int | None = None) -> dict[str, Any]:
        """Read the training loader beside the script for about `seconds`, with no compute (see `drain.drain`).

        Return batches, samples, seconds, workers and the sums of the work; or `refused` with the reason.
        """
        loader = self._loader_now()
        if loader is None:
            return {"refused": "no DataLoader feeds training"}
        try:
            with self.deliveries.own_work():
                return drain(loader, self.deliveries.make_fetcher, seconds, max_batches, num_workers)
        except Refused as refusal:
            return {"refused": str(refusal)}

    def end_epoch_now(self) -> None:
        """End the training loader at its next batch, or after its first one."""
        self.deliveries.end_requested = True

    def replay(self, on: bool) -> None:
        """Make the training loader deliver clones of batches fetched before, from the next batch on (a what-if)."""
        self.deliveries.replaying = on
        if not on and self.train is not None:
            self.train.replay = Replay()
