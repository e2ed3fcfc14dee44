"""Learning rates that follow a larger batch: raised while an optimizer steps, the script's own at all other times.

So the script's schedules, its log and its checkpoints know nothing of it.
"""

from __future__ import annotations

from typing import Any, Callable

Factor = Callable[[str, int], float]
"""(name of an optimizer's class, its steps so far): what its rates are multiplied by in the next one."""


class LearningRates:
    """Called around every step of an optimizer, for as long as rates are to be others than written."""

    def __init__(self, factor: Factor) -> None:
        self._factor = factor
        self._done: dict[int, int] = {}
        """Steps with another rate so far, by optimizer."""
        self._raised: dict[int, tuple[Any, Any]] = {}
        """Group of an optimizer that steps just now → its own rate, and the one it steps with."""

    def before_step(self, optimizer: Any) -> None:
        done = self._done.get(id(optimizer), 0)
        self._done[id(optimizer)] = done + 1
        factor = self._factor(type(optimizer).__name__, done)
        for group in optimizer.param_groups:
            own = group.get("lr")
            if own is None:
                continue
            # Raised already: an optimizer that steps another one's groups, or whose last step has failed.
            if id(group) in self._raised and self._raised[id(group)][1] is own:
                continue
            group["lr"] = own * factor
            self._raised[id(group)] = (own, group["lr"])

    def after_step(self, optimizer: Any) -> None:
        for group in optimizer.param_groups:
            own, raised = self._raised.pop(id(group), (None, None))
            if own is not None and group["lr"] is raised:  # else the step itself has set another
                group["lr"] = own
