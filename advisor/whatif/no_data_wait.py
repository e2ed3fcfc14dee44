"""Loop that runs on batches it has seen already: no loader work, no waiting, no worker beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._base import WhatIf

if TYPE_CHECKING:
    from ..types import Workload
    from ._base import Controls


REMEMBERED = 4
"""Number of real batches fetched before the first is seen again."""


def _applies(workload: Workload) -> str | None:
    return None if workload.train_loader else "no DataLoader feeds the updates"


def _enter(controls: Controls) -> None:
    controls.loaders.replay(True)


def _leave(controls: Controls) -> None:
    controls.loaders.replay(False)


WHAT_IF = WhatIf(
    id="no_data_wait",
    title="batches without waiting",
    applies=_applies,
    enter=_enter,
    leave=_leave,
    settle_updates=REMEMBERED,
)
