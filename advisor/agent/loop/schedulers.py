"""Holding of learning-rate schedules: those that would overrun in a probe, and those of steps without effect.

A probe takes updates from more epochs than the script would run, and `OneCycleLR` raises past its last step.
"""

from __future__ import annotations

from typing import Any, Callable

from ..base.pass_through import stands_for
from ..base.patches import Patches

Holds = Callable[[Any], bool]
"""Predicate of a schedule: True holds it this time."""


def hold_overruns(torch: Any) -> None:
    """Patch the schedules that raise when stepped past their end."""
    schedules = torch.optim.lr_scheduler
    cls = getattr(schedules, "OneCycleLR", None)
    if cls is not None:
        cls.get_lr = _held(cls.get_lr)


def _held(original: Callable[[object], object]) -> Callable[[object], object]:
    @stands_for(original)
    def get_lr(scheduler: Any) -> object:
        if scheduler.last_epoch > scheduler.total_steps - 1:
            return [group["lr"] for group in scheduler.optimizer.param_groups]
        return original(scheduler)

    return get_lr


class ScheduleHold:
    """Queries before a schedule advances; nothing is patched while there are no holders."""

    def __init__(self) -> None:
        self._patches = Patches()
        self._holders: list[Holds] = []
        self._inside = False

    def add(self, holds: Holds) -> None:
        if not self._holders:
            for cls in _classes():
                self._patches.replace(cls, "step", self._asking)
        self._holders.append(holds)

    def remove(self, holds: Holds) -> None:
        self._holders.remove(holds)
        if not self._holders:
            self._patches.restore()

    def _asking(self, original: Callable[..., object]) -> Callable[..., object]:
        @stands_for(original)
        def step(schedule: object, *args: object, **kwargs: object) -> object:
            # A schedule of schedules steps its inner ones, and each schedule steps once on creation.
            if self._inside or not self._holders or getattr(schedule, "_is_initial", False):
                return original(schedule, *args, **kwargs)
            answers = [holds(schedule) for holds in self._holders]  # ask every holder: they count calls
            if any(answers):
                return None
            self._inside = True
            try:
                return original(schedule, *args, **kwargs)
            finally:
                self._inside = False

        return step


def _classes() -> list[object]:
    """Return torch's and the user's classes that define their own `step`."""
    import torch

    schedules = torch.optim.lr_scheduler
    names = ("LRScheduler", "_LRScheduler", "ReduceLROnPlateau")
    pending = [cls for name in names if (cls := getattr(schedules, name, None)) is not None]
    found: list[object] = []
    while pending:
        cls = pending.pop()
        if cls not in found:
            found.append(cls)
            pending += cls.__subclasses__()
    return [cls for cls in found if "step" in vars(cls)]
