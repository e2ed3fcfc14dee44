"""The loader drained with no compute beside it: the fastest that this loader could feed any model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import WhatIf

if TYPE_CHECKING:
    from ..types import Workload

MAX_BATCHES = 10_000
"""A bound for tiny batches; the time ends the look long before."""


def _applies(workload: Workload) -> str | None:
    return None if workload.train_loader else "no DataLoader feeds the updates"


def _drain(bench: Any, seconds: float, in_process: bool) -> dict[str, Any]:
    """`in_process`: with no workers, so that the sampler sees the dataset's own lines."""
    return dict(bench.loaders.drain(seconds, MAX_BATCHES, 0 if in_process else None))


WHAT_IF = WhatIf(
    id="loader_alone",
    title="the loader alone, with no compute beside it",
    applies=_applies,
    drain=_drain,
)
