"""Backward without sending gradients between ranks, as under DDP's `no_sync`; parameters are made equal afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._base import WhatIf

if TYPE_CHECKING:
    from ..types import Workload


def _applies(workload: Workload) -> str | None:
    if workload.ranks is None or workload.world_size == 1:
        return "the script trains in one process"
    if workload.ranks.wrapper != "ddp":
        return "only DistributedDataParallel can leave its gradients unsent"
    if workload.ranks.static_graph:
        return "DDP with a static graph must send in every backward"
    return "the script compiles its model" if workload.facts.compiled_code else None


WHAT_IF = WhatIf(
    id="no_communication",
    title="no gradients sent between ranks",
    applies=_applies,
    enter=lambda controls: controls.communication.stop_sending(True),
    leave=lambda controls: controls.communication.stop_sending(False),
    frees_ranks=True,
)
