"""Learning as the windows of a profile show it: its losses, and the gain that is left."""

from __future__ import annotations

from typing import Any

from ..runtime.session_result import SessionResult
from ..types import Workload
from . import noise_window
from .early_stop import early_stop
from .loss_trend import loss_trend, points

DECAYED = 0.1
"""Part of its largest value below which a scheduled rate has little left to fall."""


def measured(result: SessionResult, workload: Workload) -> dict[str, Any]:
    """Return the fields of `types.Profile` that describe the learning."""
    seen, non_finite = points(result)
    trend = loss_trend(seen, non_finite)
    scale = {"noise_scale": noise_window.measured(result)}
    if trend is None:
        return scale
    stop = early_stop(seen, workload.learning.planned_updates, decay_ahead=decay_ahead(workload))
    return {"losses": trend, "early_stop": stop, **scale}


def decay_ahead(workload: Workload) -> bool | None:
    """Return whether the learning rate is still to fall; None if it is not known."""
    main, largest = workload.main_optimizer, workload.learning.largest_rate
    if main is None or main.has_schedule is None:
        return None
    if main.has_schedule is False:
        return False
    return main.learning_rate is None or largest is None or main.learning_rate > DECAYED * largest
