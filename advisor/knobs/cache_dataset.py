"""Cache decoded samples in memory: each is read once, in the first epoch. The main process holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ._base import Knob, Values, noticing, truth
from ._loader import NO_LOADER, draws_nothing, unused_workers

if TYPE_CHECKING:
    from ..types import Hardware, LoaderFacts, Workload

MEMORY_FRACTION = 0.5
"""Fraction of the free memory that samples may take; the agent measures both again in the running process."""
IN_MEMORY = ("TensorDataset",)
"""Datasets that hold their samples in memory already."""


def _values(hardware: Hardware, workload: Workload) -> Values:
    loader = workload.train_loader
    if loader is None:
        return Values(why_closed=NO_LOADER)
    if loader.iterable:
        return Values(why_closed=f"{loader.dataset_class} is iterable: its samples have no indices to cache them by")
    if loader.dataset_class in IN_MEMORY:
        return Values(why_closed=f"{loader.dataset_class} already holds its samples in memory")
    if workload.facts.dataset_draws:
        return Values(why_closed=f"{loader.dataset_class} draws random numbers when read: a sample differs each time")
    need, limit_bytes = _need_bytes(workload), _limit_bytes(hardware)
    if need is not None and need > limit_bytes:
        return Values(
            why_closed=f"{_cached_samples(loader)} samples, as passed to the model, take about {need / 2**30:.1f} GiB, "
            "and "
            f"{limit_bytes / 2**30:.1f} GiB may be taken: half of what is free"
        )
    size = f"about {need / 2**20:.0f} MiB" if need is not None else "of a size that is known once they are read"
    return Values(values=(True,), why=f"the samples are {size}, cached in the main process{unused_workers(loader)}")


def _need_bytes(workload: Workload) -> float | None:
    loader, batch = workload.train_loader, workload.batch_bytes
    if loader is None or batch is None or not loader.batch_size:
        return None
    samples = _cached_samples(loader)
    return batch / loader.batch_size * samples if samples is not None else None


def _cached_samples(loader: LoaderFacts) -> int | None:
    """Return the different samples that an epoch can draw; None if neither dataset nor sampler says."""
    known = [count for count in (loader.dataset_samples, loader.length_samples) if count is not None]
    return min(known, default=None)


def _limit_bytes(hardware: Hardware) -> float:
    return MEMORY_FRACTION * min(hardware.memory.available_bytes, hardware.memory_limit_bytes)


def _effect(_hardware: Hardware, workload: Workload) -> str:
    """Return `exact` or `resampled`. A dataset that draws is refused; collating may draw otherwise than in workers."""
    loader = workload.train_loader
    without_workers = loader is not None and not loader.num_workers
    known = workload.facts.dataset_draws is False
    return "exact" if draws_nothing(workload) or (known and without_workers) else "resampled"


CACHED = '''

class Cached(torch.utils.data.Dataset):
    """Keeps what was read once; for datasets that draw nothing at random, in loaders without workers."""

    def __init__(self, dataset):
        self.dataset = dataset
        self.kept = {}

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        if index not in self.kept:
            self.kept[index] = self.dataset[index]
        return copy.deepcopy(self.kept[index])
'''
"""Source of the dataset that plain torch keeps samples in."""


def _in_python(value: Any, _training: Any) -> Mapping[str, Any]:
    return {"imports": ["import copy"], "keep": "Cached(dataset)", "code": [CACHED]} if value else {}


KNOB = Knob(
    id="cache_dataset",
    title="decoded samples cached in memory",
    values=_values,
    example=True,
    effect=_effect,
    apply=lambda controls, value: controls.loaders.adjust("cache_dataset", cache_dataset=value or None),
    restore=lambda controls: controls.loaders.adjust("cache_dataset", cache_dataset=None),
    wrong=truth,
    hooks=("loader", "model"),
    by_hand="cache each sample when the dataset first reads it",
    chosen_for=("host memory",),
    fails_in="batch",
    starts_the_loader=True,
    from_second_epoch=True,
    # Samples are cached in the script's own process: workers would fetch in others.
    excludes=("num_workers",),
    noticed=noticing("Memory", "decoded samples are cached in RAM"),
    formats={"python": _in_python},
    changes="The samples stay in memory. The first epoch still reads them: the gain begins with the second.",
)
