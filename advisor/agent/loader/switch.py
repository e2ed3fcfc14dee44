"""Switch of the training loader to other settings in the middle of its epoch.

The script keeps its iterator. If its settings are not the wanted ones, an inner iterator fetches in its place. The
script's own is parked, with its workers alive and idle, and resumes when it is needed again.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from ...refused import Refused
from ...repeated_draws import Workers, add_repeats
from ...worker_threads import WorkerThreads
from .feed import Feed
from .limits import reads_here
from .record import bare_copy
from .sample_cache import SampleCaches
from .sample_parts import Stamp
from .stream import IndexStream
from .whole_batches import WholeBatches, as_read, whole_batches
from .worker_draws import WorkerDraws

if TYPE_CHECKING:
    from torch.utils.data import DataLoader


class FetchPlan(NamedTuple):
    """Settings by which batches are fetched."""

    num_workers: int
    prefetch_factor: int | None
    pin_memory: bool
    persistent_workers: bool
    cached: bool = False
    """True if samples are kept in memory (`sample_cache`)."""
    whole: bool = False
    """True if the dataset is asked for whole batches (`whole_batches`)."""
    threads: int | None = None
    """Threads that libraries may start in each worker; None for as many as they like."""


BASE_SEED = "_advisor_base_seed"
"""Attribute of the loader copy for an inner iterator: the seed of the script's own one, for the inner workers."""

STAMP = "_advisor_stamp"
"""Attribute of an inner iterator whose workers stay: the state of the dataset when they were started."""

PARKED = "parked"
"""Mark in place of a plan: the script's own workers sit out this epoch, and their batches belong to an old one."""

DEFAULT_PREFETCH_FACTOR = 2
"""Default of torch."""


def plan_of(loader: DataLoader[object], wanted: dict[str, Any]) -> FetchPlan | None:
    """Return the plan for these settings; None if it equals the script's own."""
    plan, original = _plan(loader, wanted), _plan(loader, {})
    return None if plan == original else plan


def adds_repeats(loader: DataLoader[object], plan: FetchPlan) -> bool:
    """Return whether workers of this plan repeat draws of the dataset's generators while the script's own do not."""
    original = Workers(loader.num_workers, bool(loader.persistent_workers))
    return add_repeats(original, Workers(plan.num_workers, plan.persistent_workers))


def _plan(loader: DataLoader[object], wanted: dict[str, Any]) -> FetchPlan:
    workers = wanted.get("num_workers", 0 if reads_here(wanted) else loader.num_workers)
    prefetch = wanted.get("prefetch_factor", loader.prefetch_factor) or DEFAULT_PREFETCH_FACTOR
    return FetchPlan(
        num_workers=workers,
        prefetch_factor=prefetch if workers else None,
        pin_memory=bool(wanted.get("pin_memory", loader.pin_memory)),
        persistent_workers=bool(wanted.get("persistent_workers", loader.persistent_workers)) and workers > 0,
        cached=bool(wanted.get("cache_dataset")),
        whole=bool(wanted.get("whole_batches")),
        threads=wanted.get("worker_threads") if workers else None,
    )


class Switch:
    """Settings wanted now, and the iterators that apply them."""

    def __init__(self, build: Callable[[Feed, Any], Any]) -> None:
        self._build = build
        """Callable that builds torch's iterator of a loader, with its times on a board of its own."""
        self.wanted: dict[str, Any] = {}
        self.version = 0
        self.checks = 0
        """Batches to deliver as a whole before their parts, once batches are split."""
        self.caches = SampleCaches()
        self.draws = WorkerDraws()
        self._reader: WholeBatches | None = None
        """Reader of whole batches that was compared last."""
        self._idle: tuple[FetchPlan, Any, Any] | None = None
        """Plan, record and inner iterator with persistent workers, kept between two epochs."""

    def want(self, settings: dict[str, Any]) -> None:
        self.close()
        if not settings.get("cache_dataset"):
            self.caches.rest()
        elif not self.wanted.get("cache_dataset"):
            self.caches.begin()
        self.wanted = dict(settings)
        self.version += 1

    @property
    def is_caching(self) -> bool:
        return bool(self.wanted.get("cache_dataset"))

    def plan(self, loader: DataLoader[object]) -> FetchPlan | None:
        return plan_of(loader, self.wanted) if self.wanted else None

    # --- in the middle of an epoch ------------------------------------------------------------------------------------

    def follow(self, feed: Feed, iterator: object) -> bool:
        """Bring the feed to the wanted settings; return whether other workers fetch now. Refused changes nothing."""
        plan, size = self.plan(feed.loader), self.wanted.get("batch_size")
        same_fetcher = plan == feed.plan and not (plan is None and feed.own_ended and feed.inner is None)
        if same_fetcher and size == feed.size and self.wanted.get("split") == feed.split:
            feed.version = self.version
            return False
        if feed.iterable:
            self._follow_iterable(feed, iterator, plan, size, same_fetcher)
        else:
            self._follow_map(feed, iterator, plan, size, same_fetcher)
        feed.plan, feed.size, feed.version = plan, size, self.version
        feed.split = self.wanted.get("split")
        feed.first = feed.first or not same_fetcher
        return not same_fetcher

    def _follow_map(self, feed: Feed, iterator: object, plan: Any, size: int | None, same_fetcher: bool) -> None:
        stream = feed.stream
        assert stream is not None  # a feed without a stream is foreign, and refused
        old_size, old_inner = feed.size, feed.inner
        stream.put_back()
        _regroup(stream, feed, size)
        stream.split(self.wanted.get("split"), self.checks)
        if same_fetcher:
            refill(feed.fetcher(iterator))
            return
        try:
            feed.inner = self._fetcher(feed, iterator, plan, stream)
        except Exception as error:
            stream.put_back()
            _regroup(stream, feed, old_size)
            stream.split(feed.split)
            refill(feed.fetcher(iterator))
            if isinstance(error, Refused):
                raise
            raise Refused(f"the loader cannot be built with {self.wanted}: {type(error).__name__}: {error}") from error
        if feed.inner is None:
            refill(iterator)
        self._retire(old_inner)

    def _follow_iterable(self, feed: Feed, iterator: Any, plan: Any, size: int | None, same_fetcher: bool) -> None:
        """Follow by an inner iterator that restarts the dataset: the parked stream of samples cannot be taken over."""
        if same_fetcher:
            _regroup(feed.fetcher(iterator)._sampler_iter, feed, size)
            return
        old_inner = feed.inner
        try:
            if plan is None and not feed.own_ended:
                feed.inner = None
                _regroup(iterator._sampler_iter, feed, size)
            else:
                stream = IndexStream(iter(iterator._index_sampler), keeps=False)
                _regroup(stream, feed, size)
                feed.inner = self._fetcher(feed, iterator, plan, stream)
        except Exception as error:
            feed.inner = old_inner
            raise Refused(f"the loader cannot be built with {self.wanted}: {type(error).__name__}: {error}") from error
        self._retire(old_inner)

    def _fetcher(self, feed: Feed, iterator: object, plan: FetchPlan | None, stream: IndexStream) -> Any:
        """Return the iterator that should fetch; None for the script's own."""
        if plan is None and not feed.own_ended:
            return None
        idle, self._idle = self._idle, None
        if idle is not None and idle[0] == plan and idle[1] is feed.record and _can_stay(feed, idle[2]):
            inner = idle[2]
            inner._index_sampler = stream
            inner._reset(feed.loader)
            return inner
        if idle is not None:
            self._retire(idle[2])
        plan = plan or _plan(feed.loader, {})
        inner_loader = _inner_loader(feed.loader, plan, stream, iterator)
        if adds_repeats(feed.loader, plan):
            inner_loader.__dict__["worker_init_fn"] = self.draws.init_fn(feed.loader)
        if plan.threads is not None:
            inner_loader.__dict__["worker_init_fn"] = WorkerThreads(plan.threads, inner_loader.worker_init_fn)
        if plan.cached:
            inner_loader.__dict__.update(self.caches.instead_of(feed.loader, stream))
        if plan.whole:
            self._reader = whole_batches(feed.loader, stream, self._reader)
            inner_loader.__dict__.update(dataset=self._reader, collate_fn=as_read)
        inner = self._build(feed, inner_loader)
        if plan.persistent_workers:
            inner.__dict__[STAMP] = Stamp(feed.loader.dataset)
        return inner

    def begin_without_workers(self, iterator: Any, loader: DataLoader[object]) -> None:
        """Construct the iterator in place of torch if other workers will fetch: the script's own need not start.

        Every attribute that torch's methods read is set, as after a shutdown.
        """
        from torch.utils.data import dataloader

        dataloader._BaseDataLoaderIter.__init__(iterator, loader)
        iterator._prefetch_factor = loader.prefetch_factor
        iterator._in_order = getattr(loader, "in_order", True)
        iterator._worker_init_fn = loader.worker_init_fn
        iterator._worker_pids_set = False
        iterator._shutdown = True
        iterator._index_queues, iterator._workers = [], []
        iterator._workers_status, iterator._workers_num_tasks = [], []
        iterator._send_idx = iterator._rcvd_idx = iterator._tasks_outstanding = 0
        iterator._task_info = {}
        dataloader._BaseDataLoaderIter._reset(iterator, loader, first_iter=True)

    # --- at the end of an epoch ---------------------------------------------------------------------------------------

    def next_epoch(self, feed: Feed, iterator: Any) -> None:
        """Begin the next epoch within the loop: do what the script's next `iter(loader)` would do."""
        loader, inner = feed.loader, feed.inner
        own_workers = loader.num_workers > 0 and not feed.own_ended
        if own_workers and inner is None and loader.persistent_workers:
            iterator._reset(loader)
            new: Any = feed.stream
            if feed.size is not None or feed.split is not None:
                new.put_back()  # torch has given the workers the first batches already
                _regroup(new, feed, feed.size)
                new.split(feed.split)
                refill(iterator)
            return
        feed.own_ended = feed.own_ended or (own_workers and not loader.persistent_workers)
        self._begin_epoch(feed, iterator)
        if inner is None and not feed.own_ended:
            if feed.iterable:
                _renew_fetcher(iterator)
            return
        stream: Any = feed.stream
        if inner is not None and inner._persistent_workers and (feed.iterable or _can_stay(feed, inner)):
            inner._index_sampler = stream
            inner._reset(loader)
            return
        self._retire(inner)
        feed.inner = None
        feed.inner = self._fetcher(feed, iterator, feed.plan, stream)

    def end(self, feed: Feed, iterator: Any) -> None:
        """End the script's epoch here, whatever is in flight."""
        inner, feed.inner, feed.ended = feed.inner, None, True
        loader = feed.record.loader()
        if inner is not None and inner._num_workers and inner._persistent_workers and loader is not None and feed.plan:
            self.close()
            self._idle = (feed.plan, feed.record, inner)
            weakref.finalize(loader, _close, weakref.ref(self), weakref.ref(inner)).atexit = False
        else:
            self._retire(inner)
        if feed.loader.num_workers and not feed.loader.persistent_workers and not feed.own_ended and not feed.foreign:
            iterator._shutdown_workers()
        feed.plan = feed.size = feed.split = None
        feed.version = 0

    def drop(self, feed: Feed) -> None:
        """Drop the inner iterator, as the script shuts its own down or restarts it."""
        inner, feed.inner = feed.inner, None
        feed.plan = feed.size = feed.split = None
        feed.version = 0
        self._retire(inner)

    def sits_out(self, feed: Feed, iterator: Any) -> None:
        """Let the script's own workers stay idle: it restarts its iterator, but other workers will fetch."""
        from torch.utils.data import dataloader

        dataloader._BaseDataLoaderIter._reset(iterator, feed.loader)
        feed.plan = PARKED

    def close(self) -> None:
        idle, self._idle = self._idle, None
        if idle is not None:
            self._retire(idle[2])

    def _begin_epoch(self, feed: Feed, iterator: Any) -> None:
        """Draw what torch draws when an epoch begins: first the order of the samples, then the workers' seed."""
        import torch

        loader, sampler = feed.loader, iterator._index_sampler
        order = iter(sampler)
        if not (loader.num_workers and loader.persistent_workers):
            seed = torch.empty((), dtype=torch.int64).random_(generator=loader.generator)
            iterator._base_seed = seed.item()
            if loader.num_workers:
                order = iter(sampler)  # torch does this twice with workers, and some samplers draw each time
        sharing = feed.stream.sharing if feed.stream is not None else None
        feed.stream = iterator._sampler_iter = IndexStream(order, keeps=not feed.iterable)
        feed.stream.sharing = sharing
        iterator._num_yielded = 0
        _regroup(feed.stream, feed, feed.size)
        feed.stream.split(feed.split)

    @staticmethod
    def _retire(inner: Any) -> None:
        if inner is not None and inner._num_workers:
            inner._shutdown_workers()


def _can_stay(feed: Feed, inner: Any) -> bool:
    """Return whether the workers may stay: they have the dataset as of their start, and would miss any later change."""
    return not feed.iterable and inner._dataset is feed.loader.dataset and inner.__dict__[STAMP].changed() is None


def _close(reference: weakref.ref[Switch], inner: weakref.ref[Any]) -> None:
    """Close the workers that wait for the next epoch of a loader that is gone."""
    switch = reference()
    if switch is not None and switch._idle is not None and switch._idle[2] is inner():
        switch.close()


def refill(fetcher: Any) -> None:
    """Drop the batches that workers have in flight, and give them the next indices instead. Needs no new worker."""
    if not fetcher._num_workers:
        return
    while fetcher._tasks_outstanding > 0:
        fetcher._get_data()
        fetcher._tasks_outstanding -= 1
    fetcher._task_info.clear()
    fetcher._rcvd_idx = fetcher._send_idx
    if hasattr(fetcher, "_workers_num_tasks"):
        fetcher._workers_num_tasks = [0] * fetcher._num_workers
    for _ in range(fetcher._prefetch_factor * fetcher._num_workers):
        fetcher._try_put_index()


def _inner_loader(loader: DataLoader[object], plan: FetchPlan, stream: IndexStream, iterator: Any) -> Any:
    import torch

    inner = bare_copy(loader)
    settings = inner.__dict__  # bypasses DataLoader's guard against changes after construction
    settings.update(plan._asdict())
    del settings["cached"], settings["whole"], settings["threads"]
    settings["batch_sampler" if loader._auto_collation else "sampler"] = stream
    settings["generator"] = torch.Generator()  # its draw must not move the script's random state
    settings[BASE_SEED] = iterator._base_seed
    if not plan.num_workers:
        settings["timeout"] = 0
        settings["_DataLoader__multiprocessing_context"] = None
    if plan.pin_memory and not _has_accelerator():
        settings["pin_memory"] = False  # torch would only warn once more that it pins nothing
    return inner


def _has_accelerator() -> bool:
    import torch

    return torch.cuda.is_available() or bool(hasattr(torch, "accelerator") and torch.accelerator.is_available())


def _regroup(stream: Any, feed: Feed, size: int | None) -> None:
    original = feed.record.facts["batch_size"]
    sampler = feed.loader.batch_sampler if feed.loader.batch_sampler is not None else feed.loader.sampler
    drop_last = bool(getattr(sampler, "drop_last", False))
    stream.regroup(None if size == original else size, original or 1, drop_last)


def _renew_fetcher(iterator: Any) -> None:
    """Restart the dataset of a single-process iterator of an iterable dataset."""
    from torch.utils.data import _DatasetKind

    create: Any = _DatasetKind.create_fetcher
    iterator._dataset_fetcher = create(
        iterator._dataset_kind, iterator._dataset, iterator._auto_collation, iterator._collate_fn, iterator._drop_last
    )
