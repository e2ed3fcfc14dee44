"""How many processes fetch batches for the training loader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import Knob, Values, whole_number
from ._loader import NO_LOADER, workers_tier
from .threads import usable_threads

if TYPE_CHECKING:
    from ..types import Hardware, Workload

MOST_WORKERS = 16
"""More have never been what a single training process waits for; their memory and their start are."""
WHILE_WAITING = (MOST_WORKERS, 8, 4, 2, 0)
"""Where fetching waits, workers wait beside each other on however few CPUs: 16 on two gave 21.6 times the speed."""
LOADER_WAITS = "loader_waits"
"""Fact of the workload: "yes" where the diagnosis is that the loader waits and does not compute."""


def _values(hardware: Hardware, workload: Workload) -> Values:
    loader = workload.train_loader
    if loader is None:
        return Values(why_closed=NO_LOADER)
    if loader.iterable:
        return Values(
            why_closed="the dataset is iterable: unless it shards itself, every worker would deliver all of it again"
        )
    fault = workload.facts.get("generators_fault")
    if fault is not None and not loader.num_workers:
        return Values(why_closed=fault)
    cpus = max(1, round(hardware.cpu.usable_cpus))
    if workload.facts.get(LOADER_WAITS) == "yes":
        return Values(
            values=tuple(n for n in WHILE_WAITING if n != loader.num_workers),
            why="fetching waits for a disk or a network, which takes no CPU",
        )
    # First as many as there are CPUs; one fewer leaves the loop its own; then halves, and none at all.
    wanted = [min(cpus, MOST_WORKERS), cpus - 1, cpus // 2, cpus // 4, 1, 0]
    values = tuple(dict.fromkeys(n for n in wanted if 0 <= n <= MOST_WORKERS and n != loader.num_workers))
    return Values(
        values=values,
        why=f"{hardware.cpu.usable_cpus:g} CPUs can be used, {loader.num_workers} as written",
        # Workers and the threads of a training on the CPU take turns on the same CPUs.
        shares_cpus_with=("threads", max(1, usable_threads(hardware, workload) // 2))
        if workload.device == "cpu"
        else None,
    )


def _apply(bench: Any, value: Any) -> None:
    bench.loaders.adjust("num_workers", num_workers=value)


def _restore(bench: Any) -> None:
    bench.loaders.adjust("num_workers", num_workers=None)


KNOB = Knob(
    id="num_workers",
    title="processes that fetch batches",
    scope="live",
    values=_values,
    tier=workers_tier,
    apply=_apply,
    restore=_restore,
    usual_on_accelerator=True,
    wrong=whole_number(0, 1024),
    changes="Each takes memory of its own, starts with every epoch, and draws its own random numbers (generators that "
    "the dataset holds get a seed of their own in each): random augmentations come out otherwise, as likely as before.",
    hooks=("loader", "model"),
)
