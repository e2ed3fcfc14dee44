"""Steps that change nothing: they show the cost of the parameter update, including its effect on the caches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._base import WhatIf

if TYPE_CHECKING:
    from ..types import Workload
    from ._base import Controls


def _applies(workload: Workload) -> str | None:
    if workload.main_optimizer is None:
        return "no optimizer of torch.optim steps in this script"
    if workload.facts.closures:
        return "the optimizer runs the forward pass itself, through a closure"
    return None


def _enter(controls: Controls) -> None:
    controls.steps.skip_updates(True)


def _leave(controls: Controls) -> None:
    controls.steps.skip_updates(False)


WHAT_IF = WhatIf(
    id="no_optimizer",
    title="an update of the parameters at no cost",
    applies=_applies,
    enter=_enter,
    leave=_leave,
)
