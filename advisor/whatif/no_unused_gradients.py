"""Backward without the gradients that no optimizer uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._base import WhatIf

if TYPE_CHECKING:
    from ..types import Workload


def _applies(workload: Workload) -> str | None:
    if not workload.facts.unused_gradients:
        return "every parameter with a gradient belongs to an optimizer"
    if workload.facts.compiled_code:
        return "the script compiles its model"
    return "the ranks of a launch expect the same gradients" if workload.world_size > 1 else None


WHAT_IF = WhatIf(
    id="no_unused_gradients",
    title="no gradients that nobody uses",
    applies=_applies,
    enter=lambda controls: controls.untrained.stop_gradients(True),
    leave=lambda controls: controls.untrained.stop_gradients(False),
)
