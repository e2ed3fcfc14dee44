"""Windows of a configuration."""

from __future__ import annotations

from .. import wire
from ..types import Config
from ..wire import WindowRole
from . import profile_plan
from .pace import Pace


def epoch_end_window(name: str, config: Config) -> wire.Window:
    """Return a window that ends the epoch, so that the start of the next one is seen with these settings."""
    updates = profile_plan.AFTER_AN_EPOCH
    return wire.Window(
        id=f"epoch end {name}",
        kind="epoch_end",
        config=config.as_dict(),
        natural=False,
        warm_up_updates=0,
        min_updates=updates,
        max_updates=updates,
        max_s=profile_plan.EPOCH_END_MAX_S,
    )


def window(name: str, role: WindowRole, config: Config, pace: Pace) -> wire.Window:
    return wire.Window(
        id=name,
        role=role,
        config=config.as_dict(),
        natural=False,
        warm_up_updates=pace.settle,
        min_updates=pace.count,
        min_s=pace.window_s,
        max_s=4 * pace.cost_s + 2.0,
    )
