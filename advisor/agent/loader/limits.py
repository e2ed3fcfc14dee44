"""Reasons against other settings for a loader, or against reading it a second time."""

from __future__ import annotations

import importlib.util
import io
import sys
from typing import Any

from ...refused import Refused
from ...worker_threads import LIBRARY
from ..loop.samples import first_tensor
from .record import batch_size_of, is_iterable, stacks_only

SETTINGS = (
    "num_workers",
    "prefetch_factor",
    "pin_memory",
    "persistent_workers",
    "batch_size",
    "split",
    "cache_dataset",
    "whole_batches",
    "worker_threads",
)

NEEDS_WORKERS = ("prefetch_factor", "persistent_workers", "worker_threads")
"""Settings without a meaning where the script's own process reads."""

HERE = ("cache_dataset", "whole_batches")
"""Settings by which the script's own process reads the dataset."""

EXCLUSIVE_CLASSES = (
    ("h5py", "File"),
    ("h5py", "Group"),
    ("h5py", "Dataset"),
    ("numpy.lib.npyio", "NpzFile"),
    ("lmdb", "Environment"),
    ("lmdb", "Transaction"),
    ("sqlite3", "Connection"),
    ("sqlite3", "Cursor"),
    ("socket", "socket"),
    ("tarfile", "TarFile"),
    ("zipfile", "ZipFile"),
)
"""Handles that a process and its forked children cannot both read: they share one file position, or one connection.
Looked up only if the script has imported the module."""

PLAIN_BATCH_SAMPLERS = (("torch.utils.data.", "BatchSampler"), ("accelerate.", "BatchSamplerShard"))
"""Batch samplers that only cut a sequence of samples into pieces; another may choose which samples go together."""


def refuse_settings(loader: Any, settings: dict[str, Any]) -> None:
    """Raise Refused if the loader cannot have these settings."""
    unknown = [name for name in settings if name not in SETTINGS]
    if unknown:
        raise TypeError(f"unknown loader settings {unknown}: expected some of {list(SETTINGS)}")
    refuse_foreign(loader)
    if reads_here(settings):
        _refuse_reading_here(loader, settings)
    workers = settings.get("num_workers", 0 if reads_here(settings) else loader.num_workers)
    if workers < 0:
        raise Refused(f"num_workers={workers} is not a number of workers")
    for name in NEEDS_WORKERS:
        if not workers and settings.get(name):
            raise Refused(f"{name}={settings[name]} needs workers, and num_workers is 0")
    if settings.get("worker_threads") and importlib.util.find_spec(LIBRARY) is None:
        raise Refused(f"{LIBRARY} is not installed beside the script: it finds the threads of NumPy's libraries")
    if settings.get("prefetch_factor", 1) < 1:
        raise Refused(f"prefetch_factor={settings['prefetch_factor']}: at least one batch must be prefetched")
    if settings.get("pin_memory") and not loader.pin_memory:
        _refuse_pinning()
    if workers and not loader.num_workers:
        refuse_workers(loader)
    if loader.num_workers and not workers:
        _refuse_own_process(loader)
    if is_iterable(loader) and workers != loader.num_workers:
        refuse_second_reader(loader)
    if settings.get("batch_size", batch_size_of(loader)) != batch_size_of(loader):
        refuse_batch_size(loader, settings["batch_size"])
    if "split" in settings:
        _refuse_split(loader, settings["split"])


def reads_here(settings: dict[str, Any]) -> bool:
    """Return whether the script's own process reads the dataset with these settings, and no worker."""
    return any(settings.get(name) for name in HERE)


def refuse_foreign(loader: Any) -> None:
    from torch.utils.data import IterDataPipe, MapDataPipe

    if isinstance(loader.dataset, (IterDataPipe, MapDataPipe)):
        raise Refused(f"{type(loader.dataset).__name__} is a data pipe, which keeps its own position and shards itself")


def refuse_workers(loader: Any) -> None:
    """Raise Refused if a loader without workers in the baseline cannot have any."""
    import multiprocessing

    if multiprocessing.current_process().daemon:
        raise Refused("the script runs in a daemonic process, which cannot start workers")
    handle = open_handle(loader.dataset)
    if handle is not None:
        raise Refused(f"{handle} is open: workers would share its file position; open it in each worker")
    tensor = first_tensor(list(getattr(loader.dataset, "__dict__", {}).values()))
    if tensor is not None and tensor.device.type != "cpu":
        raise Refused(f"the dataset holds tensors on {tensor.device}, which forked workers cannot use")


def _refuse_own_process(loader: Any) -> None:
    """Raise Refused for an open handle: workers may still fetch batches in flight when this process begins to read."""
    handle = open_handle(loader.dataset)
    if handle is not None:
        raise Refused(f"{handle} is open: this process would share its place with the {loader.num_workers} workers")


def _refuse_reading_here(loader: Any, settings: dict[str, Any]) -> None:
    if is_iterable(loader):
        raise Refused("the dataset is iterable: its samples have no indices to read them by")
    if settings.get("num_workers"):
        raise Refused(
            f"the main process reads the samples, and num_workers={settings['num_workers']} fetches in others"
        )
    if settings.get("whole_batches"):
        _refuse_whole_batches(loader, settings)


def _refuse_whole_batches(loader: Any, settings: dict[str, Any]) -> None:
    if settings.get("cache_dataset"):
        raise Refused("whole batches are read, and a cache keeps single samples")
    if batch_size_of(loader) is None:
        raise Refused("the dataset makes its own batches already")
    if not stacks_only(loader):
        raise Refused("the batches are made by a collate function of the script's own, which needs single samples")


def refuse_second_reader(loader: Any) -> None:
    """Raise Refused if reading the dataset beside the script would take samples away from it."""
    if is_iterable(loader) and hasattr(type(loader.dataset), "__next__"):
        raise Refused(
            f"{type(loader.dataset).__name__} is its own iterator: a second reader would consume the script's samples"
        )


def open_handle(dataset: object) -> str | None:
    """Return the name of an attribute that holds an open file or connection; None if none is visible."""
    for name, value in list(getattr(dataset, "__dict__", {}).items()):
        held = value[0] if isinstance(value, (list, tuple)) and value else value
        if isinstance(held, _handles()) and not (isinstance(held, io.IOBase) and _is_memory_or_closed(held)):
            return f"{type(dataset).__name__}.{name} ({type(held).__name__})"
    return None


def _handles() -> tuple[type, ...]:
    found: list[type] = [io.IOBase]
    for module, name in EXCLUSIVE_CLASSES:
        kind = getattr(sys.modules.get(module), name, None)
        if isinstance(kind, type):
            found.append(kind)
    return tuple(found)


def _is_memory_or_closed(file: io.IOBase) -> bool:
    return isinstance(file, (io.BytesIO, io.StringIO)) or file.closed


def _refuse_pinning() -> None:
    import torch

    if not torch.cuda.is_available() and not (hasattr(torch, "accelerator") and torch.accelerator.is_available()):
        raise Refused("pin_memory=True needs an accelerator, and torch finds none")


def _refuse_split(loader: object, size: object) -> None:
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise Refused(f"split={size!r} is not a number of samples")
    if batch_size_of(loader) is None:
        raise Refused("the dataset makes its own batches, which cannot be split")
    if is_iterable(loader):
        raise Refused("the dataset is iterable: the size of its last batch is unknown until it arrives")


def refuse_batch_size(loader: Any, size: object) -> None:
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise Refused(f"batch_size={size!r} is not a number of samples")
    if batch_size_of(loader) is None:
        raise Refused("the dataset makes its own batches: the loader has no batch size")
    if is_iterable(loader):
        return
    sampler = loader.batch_sampler if loader.batch_sampler is not None else loader.sampler
    kind = type(sampler)
    if not any(kind.__module__.startswith(module) and kind.__name__ == name for module, name in PLAIN_BATCH_SAMPLERS):
        raise Refused(f"{kind.__qualname__} itself chooses which samples form a batch")
