"""Loop that runs on batches it has seen already: no loader work, no waiting, no worker beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._base import WhatIf, on_the_cpu, without_loader

if TYPE_CHECKING:
    from ..types import Workload

REMEMBERED = 4
"""Number of real batches fetched before the first is seen again."""


def _at_most(workload: Workload) -> str | None:
    loader = workload.train_loader
    takes_cpus = loader is None or loader.num_workers > 0  # workers slow the loop down even if it never waits
    return None if takes_cpus or not on_the_cpu(workload) else "data_wait"


WHAT_IF = WhatIf(
    id="no_data_wait",
    title="no waiting for data",
    applies=without_loader,
    at_most=_at_most,
    enter=lambda controls: controls.loaders.replay(True),
    leave=lambda controls: controls.loaders.replay(False),
    settle_updates=REMEMBERED,
    pauses_workers=True,
)
