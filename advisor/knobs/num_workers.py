"""How many processes fetch batches for the training loader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import Knob, Values, whole_number

if TYPE_CHECKING:
    from ..types import Hardware, Workload

MOST_WORKERS = 16
"""More have never been what a single training process waits for; their memory and their start are."""


def _values(hardware: Hardware, workload: Workload) -> Values:
    loader = workload.train_loader
    if loader is None:
        return Values(why_closed="no DataLoader feeds the updates")
    if loader.iterable:
        return Values(
            why_closed="the dataset is iterable: unless it shards itself, every worker would deliver all of it again"
        )
    cpus = max(1, round(hardware.cpu.usable_cpus))
    # First as many as there are CPUs; one fewer leaves the loop its own; then halves, and none at all.
    wanted = [min(cpus, MOST_WORKERS), cpus - 1, cpus // 2, cpus // 4, 1, 0]
    values = tuple(dict.fromkeys(n for n in wanted if 0 <= n <= MOST_WORKERS and n != loader.num_workers))
    return Values(values=values, why=f"{hardware.cpu.usable_cpus:g} CPUs can be used, {loader.num_workers} as written")


def _tier(_hardware: Hardware, workload: Workload) -> str:
    """Each worker has a random state of its own: only a dataset that draws nothing gives the same samples."""
    return "exact" if workload.facts.get("dataset_draws") == "no" else "resampled"


def _apply(bench: Any, value: Any) -> None:
    bench.loaders.adjust(num_workers=value, **_fitting(bench, value))


def _restore(bench: Any) -> None:
    bench.loaders.adjust(num_workers=None, prefetch_factor=None, persistent_workers=None)


def _fitting(bench: Any, value: Any) -> dict[str, Any]:
    """Without workers, what the script wrote for its workers has no meaning."""
    record = bench.loaders.train
    if value or record is None:
        return {}
    return {"persistent_workers": False} if record.facts["persistent_workers"] else {}


KNOB = Knob(
    id="num_workers",
    title="processes that fetch batches",
    scope="live",
    values=_values,
    tier=_tier,
    apply=_apply,
    restore=_restore,
    wrong=whole_number(0, 1024),
    changes="Each takes memory of its own, starts with every epoch, and draws its own random numbers: "
    "random augmentations come out otherwise, as likely as before.",
)
