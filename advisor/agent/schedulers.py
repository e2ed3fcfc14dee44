"""Learning-rate schedules in a probe: those that would overrun are held instead of ending the script.

A probe takes updates from more epochs than the script would run, and `OneCycleLR` raises past its last step.
"""

from __future__ import annotations

import functools
from typing import Any, Callable


def hold_overruns(torch: Any) -> None:
    """Patch the schedules that raise when they are stepped past their end."""
    schedules = torch.optim.lr_scheduler
    cls = getattr(schedules, "OneCycleLR", None)
    if cls is not None:
        cls.get_lr = _held(cls.get_lr)


def _held(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(original)
    def get_lr(scheduler: Any) -> Any:
        if scheduler.last_epoch > scheduler.total_steps - 1:
            return [group["lr"] for group in scheduler.optimizer.param_groups]
        return original(scheduler)

    return get_lr
