"""Threads of torch's CPU operators (`torch.set_num_threads`): too many compete for CPUs, too few leave them idle."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ._base import Knob, PlainObjects, Unable, Values, always, key, whole_number, with_flags

if TYPE_CHECKING:
    from ..types import Hardware, Workload
    from ._controls import Controls


def _values(hardware: Hardware, workload: Workload) -> Values:
    if workload.device != "cpu":
        return Values(why_closed=f"training runs on {workload.device}: CPU threads have little effect")
    usable = usable_threads(hardware, workload)
    now = workload.flags.num_threads
    loader = workload.train_loader
    workers = loader.num_workers if loader is not None else 0
    cores = hardware.cpu.cores_physical or usable
    # All usable ones; those that the loader's workers leave; one a core; half; and one, best for small operators.
    wanted = [usable, usable - workers, cores, usable // 2, 1]
    values = tuple(dict.fromkeys(value for value in wanted if 1 <= value <= usable and value != now))
    if not values:
        return Values(why_closed=f"{hardware.cpu.usable_cpus:g} CPU is usable, and {now} thread is set")
    each = f" for {workload.world_size} processes" if workload.world_size > 1 else ""
    return Values(values=values, why=f"{hardware.cpu.usable_cpus:g} CPUs are usable{each}, and {now} threads are set")


def usable_threads(hardware: Hardware, workload: Workload) -> int:
    """Return the number of CPUs for each process, at least one."""
    return max(1, math.floor(hardware.cpu.usable_cpus / workload.world_size))


def _apply(controls: Controls, value: Any) -> None:
    import torch

    controls.saved.setdefault("threads", torch.get_num_threads())
    torch.set_num_threads(value)


def _restore(controls: Controls) -> None:
    import torch

    if "threads" in controls.saved:
        torch.set_num_threads(controls.saved.pop("threads"))


def _plain(_objects: PlainObjects, value: Any) -> None:
    import torch

    torch.set_num_threads(value)


KNOB = Knob(
    id="threads",
    title="threads of torch's CPU operators",
    values=_values,
    example=2,
    effect=always("numerics"),  # sums are cut into as many parts as there are threads, so the rounding differs
    apply=_apply,
    restore=_restore,
    tried_unprompted=2,
    wrong=whole_number(1, 4096),
    by_hand="torch.set_num_threads({value}), or OMP_NUM_THREADS={value} in the environment",
    chosen_for=("cpus", "torch"),
    plain=_plain,
    formats={
        "accelerate": lambda value, _training: Unable(
            "an option of the launcher without a key; the default is 1",
            "accelerate launch --num_cpu_threads_per_process {value}",
            {"environment": {"OMP_NUM_THREADS": value}},
        ),
        "python": lambda value, _training: {"set_up": [f"torch.set_num_threads({value!r})"]},
        "torchrun": key("environment", "OMP_NUM_THREADS"),
    },
    changes="Losses may differ in their last digits.",
    hooks=(),
    described=with_flags(num_threads=lambda value: value),
)
