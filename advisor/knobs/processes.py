"""Processes that train together, one for each device; `parallelism` says how, by copies of the model if it is not set.

They are started by advisor and find each other by a file, without a port. The first one has the script's terminal and
files. If one of them fails, all end, with its error.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ._base import Knob, PlainObjects, Values, always, key, whole_number
from .parallelism import devices, why_single

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..types import Hardware, Workload
    from ._controls import Controls

HASHES = "PYTHONHASHSEED"


def _values(hardware: Hardware, workload: Workload) -> Values:
    why = why_single(hardware, workload)
    if why is not None:
        return Values(why_closed=why)
    there = devices(hardware, workload)
    size = workload.train_loader.batch_size if workload.train_loader is not None else None
    wanted = (2, 4) if workload.device == "cpu" else (there, there // 2)  # one process can use all CPUs, too
    worth = [number for number in dict.fromkeys(wanted) if 2 <= number <= min(there, size or there)]
    if not worth:
        return Values(why_closed=f"single: a batch of {size} cannot be shared out")
    return Values(values=tuple(worth), why=f"{there} {'CPUs' if workload.device == 'cpu' else 'devices'} are there")


def _apply(controls: Controls, value: Any) -> None:
    controls.parallel.expect(value)


def _environment(value: Any, present: Mapping[str, str]) -> Mapping[str, str]:
    """Let all processes order sets of words alike."""
    if value < 2 or present.get(HASHES):
        return {}
    return {HASHES: str(int.from_bytes(os.urandom(4), "big"))}


def _plain(_objects: PlainObjects, value: Any) -> str | None:
    return None if value == 1 else KNOB.described_by_hand(value)


KNOB = Knob(
    id="processes",
    title="processes that train together",
    values=_values,
    example=2,
    effect=always("numerics"),
    apply=_apply,
    restore=lambda controls: controls.parallel.restore(),
    scope="launch",
    starts_ranks=True,
    shortens_computing=True,
    set_on=("model", "optimizer"),
    wrong=whole_number(1, 1024),
    ranks=int,
    by_hand="torchrun --standalone --nproc-per-node={value}",
    by_hand_of={1: "one process"},
    environment=_environment,
    chosen_for=("cpus", "device"),
    plain=_plain,
    formats={"accelerate": key("num_processes"), "torchrun": lambda _value, _training: {}},
    changes="A batch is shared out among the processes. Each runs the whole script, and needs its memory.",
)
