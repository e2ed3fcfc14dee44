"""Twice the samples per micro-batch: the speed-up is near two if overhead dominates, near one if arithmetic does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._base import WhatIf

if TYPE_CHECKING:
    from ..types import Workload


def _applies(workload: Workload) -> str | None:
    loader = workload.train_loader
    if loader is None:
        return "no DataLoader feeds the updates"
    if loader.batch_size is None:
        return "the loader's batch size is unknown"
    if loader.length_samples is not None and loader.length_samples < 2 * loader.batch_size:
        return f"the dataset has {loader.length_samples} samples, fewer than two batches of {loader.batch_size}"
    return None


WHAT_IF = WhatIf(
    id="micro_batch_doubled",
    title="doubled micro-batch",
    applies=_applies,
    enter=lambda controls: controls.loaders.adjust("micro_batch_doubled", batch_size=2 * controls.loaders.batch_size()),
    leave=lambda controls: controls.loaders.adjust("micro_batch_doubled", batch_size=None),
    may_break=True,
    per_sample=True,
)
