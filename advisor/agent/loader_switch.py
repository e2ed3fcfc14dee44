"""Other settings for the loader that feeds the training, in the middle of its epoch.

The script keeps its iterator. Where its settings are not the ones asked for, an inner iterator fetches in its place;
the script's own is parked, its workers alive and idle, and goes on when it is its turn again.
"""

from __future__ import annotations

import weakref
from typing import Any, Callable, NamedTuple

from ..repeated_draws import Workers, add_repeats
from .loader_feed import Feed
from .loader_record import bare_copy
from .refused import Refused
from .sample_cache import SampleCaches
from .sample_parts import Stamp
from .stream import IndexStream
from .worker_draws import WorkerDraws


class FetchPlan(NamedTuple):
    """How batches are fetched."""

    num_workers: int
    prefetch_factor: int | None
    pin_memory: bool
    persistent_workers: bool
    cached: bool = False
    """Samples are kept in memory (`sample_cache`)."""


BASE_SEED = "_advisor_base_seed"
"""On the copy an inner iterator is built from: the seed of the script's own iterator, for the inner one's workers."""

STAMP = "_advisor_stamp"
"""On an inner iterator whose workers stay: what the dataset was like when they were started."""

PARKED = "parked"
"""In the place of a plan: the script's own workers sit out this epoch, and what they hold belongs to an old one."""

DEFAULT_PREFETCH_FACTOR = 2
"""What torch takes where none is given."""


def plan_of(loader: Any, wanted: dict[str, Any]) -> FetchPlan | None:
    """The plan for these settings; None where it is what the script wrote."""
    plan, written = _plan(loader, wanted), _plan(loader, {})
    return None if plan == written else plan


def adds_repeats(loader: Any, plan: FetchPlan) -> bool:
    """Whether workers by this plan would repeat draws of generators that the dataset holds, and the script's do not."""
    written = Workers(loader.num_workers, bool(loader.persistent_workers))
    return add_repeats(written, Workers(plan.num_workers, plan.persistent_workers))


def _plan(loader: Any, wanted: dict[str, Any]) -> FetchPlan:
    cached = bool(wanted.get("cache_dataset"))
    workers = wanted.get("num_workers", 0 if cached else loader.num_workers)
    prefetch = wanted.get("prefetch_factor", loader.prefetch_factor) or DEFAULT_PREFETCH_FACTOR
    return FetchPlan(
        num_workers=workers,
        prefetch_factor=prefetch if workers else None,
        pin_memory=bool(wanted.get("pin_memory", loader.pin_memory)),
        persistent_workers=bool(wanted.get("persistent_workers", loader.persistent_workers)) and workers > 0,
        cached=cached,
    )


class Switch:
    """The settings wanted now, and the iterators that carry them out."""

    def __init__(self, build: Callable[[Feed, Any], Any]) -> None:
        self._build = build
        """Makes torch's iterator of a loader, with its times on a board of its own."""
        self.wanted: dict[str, Any] = {}
        self.version = 0
        self.looks = 0
        """Batches that are given out as a whole before their parts, when it comes to parts."""
        self.caches = SampleCaches()
        self.draws = WorkerDraws()
        self._idle: tuple[FetchPlan, Any, Any] | None = None
        """Plan, record and inner iterator with persistent workers, between two epochs."""

    def want(self, settings: dict[str, Any]) -> None:
        self.close()
        if not settings.get("cache_dataset"):
            self.caches.rest()
        elif not self.wanted.get("cache_dataset"):
            self.caches.begin()
        self.wanted = dict(settings)
        self.version += 1

    def plan(self, loader: Any) -> FetchPlan | None:
        return plan_of(loader, self.wanted) if self.wanted else None

    # --- in the middle of an epoch ------------------------------------------------------------------------------------

    def follow(self, feed: Feed, iterator: Any) -> bool:
        """Bring the feed to the settings wanted; True where other workers fetch now. On Refused nothing has changed."""
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

    def _follow_map(self, feed: Feed, iterator: Any, plan: Any, size: int | None, same_fetcher: bool) -> None:
        stream = feed.stream
        assert stream is not None  # a feed without one is foreign, and those are refused
        old_size, old_inner = feed.size, feed.inner
        stream.put_back()
        _regroup(stream, feed, size)
        stream.split(self.wanted.get("split"), self.looks)
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
        """The parked stream of samples cannot be taken over: an inner iterator begins the dataset anew."""
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

    def _fetcher(self, feed: Feed, iterator: Any, plan: FetchPlan | None, stream: IndexStream) -> Any:
        """Who is to fetch; None is the script's own iterator."""
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
        if plan.cached:
            inner_loader.__dict__["dataset"] = self.caches.instead_of(feed.loader, stream)
        inner = self._build(feed, inner_loader)
        if plan.persistent_workers:
            inner.__dict__[STAMP] = Stamp(feed.loader.dataset)
        return inner

    def begin_without_workers(self, iterator: Any, loader: Any) -> None:
        """In the place of torch's construction, where other workers will fetch: the script's own need not start.

        Everything that torch's methods look at is there, as after a shutdown.
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

    # --- at its end ---------------------------------------------------------------------------------------------------

    def next_epoch(self, feed: Feed, iterator: Any) -> None:
        """The epoch is over and the loop is to go on: do what the script's next `iter(loader)` would do."""
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
        """The script's epoch ends here, whatever is in flight."""
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
        """The script shuts its iterator down, or begins it anew: what stands in for it goes."""
        inner, feed.inner = feed.inner, None
        feed.plan = feed.size = feed.split = None
        feed.version = 0
        self._retire(inner)

    def sits_out(self, feed: Feed, iterator: Any) -> None:
        """The script begins its own iterator anew, and other workers will fetch: its own stay idle."""
        from torch.utils.data import dataloader

        dataloader._BaseDataLoaderIter._reset(iterator, feed.loader)
        feed.plan = PARKED

    def close(self) -> None:
        idle, self._idle = self._idle, None
        if idle is not None:
            self._retire(idle[2])

    def _begin_epoch(self, feed: Feed, iterator: Any) -> None:
        """Draw what torch draws when an epoch begins, in its order: that of the samples, then the workers' seed."""
        import torch

        loader, sampler = feed.loader, iterator._index_sampler
        order = iter(sampler)
        if not (loader.num_workers and loader.persistent_workers):
            seed = torch.empty((), dtype=torch.int64).random_(generator=loader.generator)
            iterator._base_seed = seed.item()
            if loader.num_workers:
                order = iter(sampler)  # torch's iterator with workers asks twice, and some samplers draw when asked
        feed.stream = iterator._sampler_iter = IndexStream(order, keeps=not feed.iterable)
        iterator._num_yielded = 0
        _regroup(feed.stream, feed, feed.size)
        feed.stream.split(feed.split)

    @staticmethod
    def _retire(inner: Any) -> None:
        if inner is not None and inner._num_workers:
            inner._shutdown_workers()


def _can_stay(feed: Feed, inner: Any) -> bool:
    """Workers that stay have the dataset that they were started with: new ones would see what the script has changed
    in it since then."""
    return not feed.iterable and inner._dataset is feed.loader.dataset and inner.__dict__[STAMP].changed() is None


def _close(reference: weakref.ref[Switch], inner: weakref.ref[Any]) -> None:
    """The loader is gone, and so are the workers that waited for its next epoch."""
    switch = reference()
    if switch is not None and switch._idle is not None and switch._idle[2] is inner():
        switch.close()


def refill(fetcher: Any) -> None:
    """Drop what the workers have in flight, and give them the next indices instead. Needs no new worker."""
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


def _inner_loader(loader: Any, plan: FetchPlan, stream: IndexStream, iterator: Any) -> Any:
    import torch

    inner = bare_copy(loader)
    settings = inner.__dict__  # past the guard of DataLoader, which allows no change after its construction
    settings.update(plan._asdict())
    del settings["cached"]
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
    written = feed.record.facts["batch_size"]
    sampler = feed.loader.batch_sampler if feed.loader.batch_sampler is not None else feed.loader.sampler
    drop_last = bool(getattr(sampler, "drop_last", False))
    stream.regroup(None if size == written else size, written or 1, drop_last)


def _renew_fetcher(iterator: Any) -> None:
    """A single-process iterator of an iterable dataset begins the dataset anew."""
    from torch.utils.data import _DatasetKind

    create: Any = _DatasetKind.create_fetcher
    iterator._dataset_fetcher = create(
        iterator._dataset_kind, iterator._dataset, iterator._auto_collation, iterator._collate_fn, iterator._drop_last
    )
