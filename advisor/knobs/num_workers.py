"""Number of worker processes that fetch batches for the training loader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ._base import Values, whole_number
from ._loader import NO_LOADER, loader_knob
from .threads import usable_threads

if TYPE_CHECKING:
    from ..types import Hardware, Workload

MOST_WORKERS = 16
"""Most workers to try. A single training process has never needed more; it does wait for their memory and start."""
WHILE_WAITING = (MOST_WORKERS, 8, 4, 2, 0)
"""Workers to try where fetching waits: they wait in parallel on however few CPUs. 16 on two gave 21.6x the speed."""
OPTION_NAMES = (
    "num_workers", "workers", "nw", "n_workers", "nworkers", "dataloader_num_workers", "loader_workers",
    "data_workers", "num_loader_workers", "num_data_workers", "dataloader_workers", "n_cpu",
)  # fmt: skip


def _values(hardware: Hardware, workload: Workload) -> Values:
    loader = workload.train_loader
    if loader is None:
        return Values(why_closed=NO_LOADER)
    if loader.iterable:
        return Values(
            why_closed="the dataset is iterable: unless it shards itself, every worker would deliver all of its samples"
        )
    fault = workload.facts.generators_fault
    if fault is not None and not loader.num_workers:
        return Values(why_closed=fault)
    cpus = max(1, round(hardware.cpu.usable_cpus))
    if workload.facts.loader_waits:
        return Values(
            values=tuple(n for n in WHILE_WAITING if n != loader.num_workers),
            why="fetching waits for a disk or a network, which takes no CPU",
        )
    # First as many as there are CPUs; one fewer, which leaves the loop its own; then halves, and finally none.
    wanted = [min(cpus, MOST_WORKERS), cpus - 1, cpus // 2, cpus // 4, 1, 0]
    values = tuple(dict.fromkeys(n for n in wanted if 0 <= n <= MOST_WORKERS and n != loader.num_workers))
    return Values(
        values=values,
        why=f"{hardware.cpu.usable_cpus:g} CPUs are usable, and the script has {loader.num_workers} workers",
        # Workers and the threads of a training on the CPU take turns on the same CPUs.
        shares_cpus_with=("threads", max(1, usable_threads(hardware, workload) // 2))
        if workload.device == "cpu"
        else None,
    )


def _noticed(settings: Mapping[str, Any]) -> tuple[str, str]:
    number = settings["num_workers"]
    processes = "1 worker process starts" if number == 1 else f"{number:,} worker processes start"
    return "Start-up", f"{processes} {'once' if settings.get('persistent_workers') else 'at the start of each epoch'}"


KNOB = loader_knob(
    "num_workers",
    title="worker processes that fetch batches",
    values=_values,
    example=1,
    usual_on_accelerator=True,
    wrong=whole_number(0, 1024),
    chosen_for=("cpus", "host memory"),
    noticed=_noticed,
    option_names=OPTION_NAMES,
    changes="Each worker takes memory, starts with every epoch, and draws its own random numbers; generators that the "
    "dataset holds are seeded separately in each. Random augmentations differ, with the same distribution.",
)
