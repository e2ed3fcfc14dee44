"""Wrappers around methods of torch's loaders. Each first checks whether it applies, and otherwise stays out."""

from __future__ import annotations

import functools
import sys
import threading
from typing import TYPE_CHECKING, Any, Callable

from ..base.pass_through import stands_for
from ..base.patches import Patches
from .feed import FEED, Feed
from .record import bare_copy
from .switch import BASE_SEED
from .times import FetchTimes, drop_own_frames

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from .delivery import Deliveries


def install(hooks: Deliveries, patches: Patches, times: FetchTimes) -> Callable[[Any], Any]:
    """Put all wrappers in place; return torch's own `__next__`."""
    from multiprocessing import queues

    from torch.utils.data import dataloader
    from torch.utils.data._utils import fetch

    base = dataloader._BaseDataLoaderIter
    workers = dataloader._MultiProcessingDataLoaderIter
    patches.replace(dataloader.DataLoader, "__init__", functools.partial(_loader_init, hooks))
    patches.replace(dataloader.DataLoader, "__len__", functools.partial(_loader_len, hooks))
    patches.replace(base, "__init__", functools.partial(_base_init, hooks))
    patches.replace(base, "_reset", functools.partial(_base_reset, hooks))
    for kind in (dataloader._SingleProcessDataLoaderIter, workers):
        patches.replace(kind, "__init__", functools.partial(_iterator_init, hooks))
    patches.replace(workers, "_reset", functools.partial(_workers_reset, hooks))
    patches.replace(workers, "_shutdown_workers", functools.partial(_shutdown_workers, hooks))
    patches.replace(queues, "_ForkingPickler", times.receive)
    patches.replace(fetch._BaseDatasetFetcher, "__init__", times.fetcher_init)
    for fetcher in (fetch._MapDatasetFetcher, fetch._IterableDatasetFetcher):
        patches.replace(fetcher, "fetch", times.fetch)
    original: Callable[[Any], Any] = patches.replace(base, "__next__", functools.partial(_next, hooks))
    return original


def _next(hooks: Deliveries, original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @stands_for(original)
    def __next__(iterator: object) -> Any:  # noqa: N807
        feed = iterator.__dict__.get(FEED)
        if feed is None or hooks.inert:
            return original(iterator)
        try:
            return hooks.deliver(iterator, feed)
        except BaseException as error:
            drop_own_frames(error)
            raise

    return __next__


def _loader_init(hooks: Deliveries, original: Callable[..., None]) -> Callable[..., None]:
    @stands_for(original)
    def __init__(loader: DataLoader[object], *args: object, **kwargs: object) -> None:  # noqa: N807
        if not hooks.inert:
            hooks.made(loader, sys._getframe(1))
        try:
            original(loader, *args, **kwargs)
        except BaseException as error:
            drop_own_frames(error)
            raise

    return __init__


def _loader_len(hooks: Deliveries, original: Callable[[Any], int]) -> Callable[[Any], int]:
    @stands_for(original)
    def __len__(loader: DataLoader[object]) -> int:  # noqa: N807
        try:
            length = original(loader)
        except BaseException as error:
            drop_own_frames(error)
            raise
        if hooks.inert or threading.get_ident() in hooks.busy:
            return length
        hooks.register.length_asked(loader, sys._getframe(1))
        return hooks.evaluation.length(loader, length)

    return __len__


def _iterator_init(hooks: Deliveries, original: Callable[..., None]) -> Callable[..., None]:
    @stands_for(original)
    def __init__(iterator: object, loader: DataLoader[object], *args: object, **kwargs: object) -> None:  # noqa: N807
        if hooks.inert or threading.get_ident() in hooks.busy:
            original(iterator, loader, *args, **kwargs)
            return
        try:
            hooks.begin_iterator(iterator, loader, functools.partial(original, iterator, loader, *args, **kwargs))
        except BaseException as error:
            drop_own_frames(error)
            raise

    return __init__


def _base_init(hooks: Deliveries, original: Callable[..., None]) -> Callable[..., None]:
    @stands_for(original)
    def __init__(iterator: Any, loader: DataLoader[object], *args: object, **kwargs: object) -> None:  # noqa: N807
        original(iterator, loader, *args, **kwargs)
        seed = loader.__dict__.get(BASE_SEED)
        if seed is not None:
            iterator._base_seed = seed
        if hooks.inert:
            return
        if hooks.sharing is not None:
            iterator._base_seed += hooks.sharing.rank  # workers of other ranks augment by other numbers
        if FEED not in iterator.__dict__ and threading.get_ident() not in hooks.busy:
            iterator.__dict__[FEED] = Feed(hooks.record_of(loader), bare_copy(loader), foreign=True)
        hooks.begin_stream(iterator)

    return __init__


def _base_reset(hooks: Deliveries, original: Callable[..., None]) -> Callable[..., None]:
    @stands_for(original)
    def _reset(iterator: object, *args: object, **kwargs: object) -> None:
        original(iterator, *args, **kwargs)
        if not hooks.inert:
            hooks.begin_stream(iterator)

    return _reset


def _workers_reset(hooks: Deliveries, original: Callable[..., None]) -> Callable[..., None]:
    @stands_for(original)
    def _reset(iterator: object, *args: object, **kwargs: object) -> None:
        reset = functools.partial(original, iterator, *args, **kwargs)
        feed = iterator.__dict__.get(FEED)
        if feed is None or hooks.inert or threading.get_ident() in hooks.busy:
            reset()
            return
        try:
            hooks.begin_again(iterator, feed, reset)
        except BaseException as error:
            drop_own_frames(error)
            raise

    return _reset


def _shutdown_workers(hooks: Deliveries, original: Callable[[Any], None]) -> Callable[[Any], None]:
    @stands_for(original)
    def _shutdown_workers(iterator: object, key: str = FEED) -> None:  # bound early: this also runs at interpreter exit
        feed = iterator.__dict__.get(key)
        if feed is not None and feed.inner is not None:
            hooks.switch.drop(feed)
        original(iterator)

    return _shutdown_workers
