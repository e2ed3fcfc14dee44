"""Frozen parts that compute nothing: their last output for an input of that shape is handed out again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._base import WhatIf

if TYPE_CHECKING:
    from ..types import Workload


def _applies(workload: Workload) -> str | None:
    if not workload.facts.frozen_parts:
        return "no part of the model is frozen"
    if workload.facts.compiled_code:
        return "the script compiles its model"
    return "the ranks of a launch expect the same gradients" if workload.world_size > 1 else None


WHAT_IF = WhatIf(
    id="frozen_features",
    title="frozen parts computed once",
    applies=_applies,
    enter=lambda controls: controls.untrained.hand_out(True),
    leave=lambda controls: controls.untrained.hand_out(False),
)
