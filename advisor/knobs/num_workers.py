"""Number of worker processes that fetch batches for the training loader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..plural import plural
from ._base import Values, whole_number
from ._loader import NO_LOADER, loader_knob
from .threads import usable_threads

if TYPE_CHECKING:
    from ..types import Hardware, LoaderFacts, Workload

MOST_WORKERS = 16
"""Most workers to try. A single training process has never needed more; it does wait for their memory and start."""
MOST_WAITING = 48
"""Most workers where fetching waits: they wait in parallel on however few CPUs, and 16 on two gave 21.6 times the
speed. With their batches in flight, 48 hold about half of the usual 1,024 open files."""
WHILE_WAITING = 16
"""Workers to try first where fetching waits, if its times are not known."""
MEMORY_FRACTION = 0.25
"""Fraction of the free memory that workers and their batches may take."""
FORKED_BYTES, SPAWNED_BYTES = 64 * 2**20, 400 * 2**20
"""Memory of a worker beside its batches: forked, it shares the script's; otherwise it imports torch itself."""
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
        most = _most_waiting(hardware, workload, loader)
        first = min(workload.facts.feeding_workers or WHILE_WAITING, most)
        wanted = [first, min(2 * first, most), first // 2, first // 4, 2, 0]
        return Values(
            values=tuple(dict.fromkeys(n for n in wanted if n != loader.num_workers)),
            why="fetching waits for a disk or a network, which takes no CPU"
            + (f"; about {first} fetches at a time feed the loop" if workload.facts.feeding_workers else ""),
        )
    # First as many as there are CPUs; one fewer, which leaves the loop its own; then halves, and finally none.
    wanted = [min(cpus, MOST_WORKERS), cpus - 1, cpus // 2, cpus // 4, 1, 0]
    values = tuple(dict.fromkeys(n for n in wanted if 0 <= n <= MOST_WORKERS and n != loader.num_workers))
    return Values(
        values=values,
        why=f"{hardware.cpu.usable_cpus:g} CPUs are usable, and the script has {plural(loader.num_workers, 'worker')}",
        # Workers and the threads of a training on the CPU take turns on the same CPUs.
        shares_cpus_with=("threads", max(1, usable_threads(hardware, workload) // 2))
        if workload.device == "cpu"
        else None,
    )


def _most_waiting(hardware: Hardware, workload: Workload, loader: LoaderFacts) -> int:
    """Return how many workers fit in memory: with the batches in flight, which stand in shared memory, too."""
    in_flight_bytes = (loader.prefetch_factor or 2) * (workload.batch_bytes or 0)
    own_bytes = SPAWNED_BYTES if loader.start_method in ("spawn", "forkserver") else FORKED_BYTES
    free_bytes = MEMORY_FRACTION * min(hardware.memory.available_bytes, hardware.memory_limit_bytes)
    fitting = int(free_bytes / (own_bytes + in_flight_bytes))
    shared_bytes = hardware.memory.shared_memory_free_bytes
    if shared_bytes is not None and in_flight_bytes:
        fitting = min(fitting, shared_bytes // (2 * in_flight_bytes))
    return max(1, min(MOST_WAITING, fitting))


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
