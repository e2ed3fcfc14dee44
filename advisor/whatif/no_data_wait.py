"""The loop runs on batches it has seen already: no loader work, no waiting, no worker beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import WhatIf

if TYPE_CHECKING:
    from ..types import Workload


REMEMBERED = 4
"""So many real batches are fetched before the first is seen again."""


def _applies(workload: Workload) -> str | None:
    return None if workload.train_loader else "no DataLoader feeds the updates"


def _enter(bench: Any) -> None:
    bench.loaders.replay(True)


def _leave(bench: Any) -> None:
    bench.loaders.replay(False)


WHAT_IF = WhatIf(
    id="no_data_wait",
    title="batches that are there at once",
    applies=_applies,
    enter=_enter,
    leave=_leave,
    settle_updates=REMEMBERED,
)
