"""Learning rates that follow a larger batch: raised while an optimizer steps, the script's own at all other times.

The script's schedules, log and checkpoints therefore never see the raised rates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from torch.optim import Optimizer

Factor = Callable[[str, int], float]
"""Callable (name of an optimizer's class, its steps so far) that returns the factor for its rates in the next step."""


class LearningRates:
    """Hooks called around every step of an optimizer while rates differ from the baseline."""

    def __init__(self, factor: Factor) -> None:
        self._factor = factor
        self._done: dict[int, int] = {}
        """Steps with a changed rate so far, by optimizer."""
        self._raised: dict[int, tuple[object, object]] = {}
        """Group of a stepping optimizer → its own rate, and the rate it steps with."""

    def before_step(self, optimizer: Optimizer) -> None:
        done = self._done.get(id(optimizer), 0)
        self._done[id(optimizer)] = done + 1
        factor = self._factor(type(optimizer).__name__, done)
        for group in optimizer.param_groups:
            own = group.get("lr")
            if own is None:
                continue
            # Raised already: this optimizer steps another one's groups, or its last step failed.
            if id(group) in self._raised and self._raised[id(group)][1] is own:
                continue
            group["lr"] = own * factor
            self._raised[id(group)] = (own, group["lr"])

    def after_step(self, optimizer: Optimizer) -> None:
        for group in optimizer.param_groups:
            own, raised = self._raised.pop(id(group), (None, None))
            if own is not None and group["lr"] is raised:  # else the step itself has set another rate
                group["lr"] = own
