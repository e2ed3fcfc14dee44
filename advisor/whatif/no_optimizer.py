"""Steps that change nothing: they show the cost of the parameter update, including its effect on the caches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._base import WhatIf, on_the_cpu

if TYPE_CHECKING:
    from ..types import Workload


def _applies(workload: Workload) -> str | None:
    if workload.main_optimizer is None:
        return "no optimizer of torch.optim steps in this script"
    if workload.facts.closures:
        return "the optimizer runs the forward pass itself, through a closure"
    return None


def _at_most(workload: Workload) -> str | None:
    return "optimizer" if on_the_cpu(workload) else None


WHAT_IF = WhatIf(
    id="no_optimizer",
    title="no optimizer",
    applies=_applies,
    at_most=_at_most,
    enter=lambda controls: controls.steps.skip_updates(True),
    leave=lambda controls: controls.steps.skip_updates(False),
)
