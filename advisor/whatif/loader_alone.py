"""Loader drained with no compute beside it: the fastest that this loader could feed any model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import WhatIf, without_loader

if TYPE_CHECKING:
    from ._base import Controls

MAX_BATCHES = 10_000
"""Bound for tiny batches; time ends the short trial long before."""


def _drain(controls: Controls, seconds: float, in_process: bool) -> dict[str, Any]:
    """Drain the loader; if `in_process`, without workers, so that the sampler sees the dataset's own lines."""
    return controls.loaders.drain(seconds, MAX_BATCHES, 0 if in_process else None)


WHAT_IF = WhatIf(
    id="loader_alone",
    title="the loader alone",
    applies=without_loader,
    drain=_drain,
)
