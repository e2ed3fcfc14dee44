"""Charts, one per file, each drawn as inline SVG; `ALL` and `TUNING` are the orders on the pages."""

from __future__ import annotations

from . import (
    by_knob,
    ceilings,
    history,
    importances,
    loss_curves,
    memory,
    pareto,
    phases,
    rate_curve,
    roofline,
    steps,
    usage,
    what_ifs,
)
from ._base import Drawn, Missing, Picture

__all__ = ["ALL", "LEARNING", "TUNING", "Drawn", "Missing", "Picture", "phases", "rate_curve"]

ALL = (steps.draw, memory.draw, usage.draw, roofline.draw, what_ifs.draw)
"""Charts of a profile."""
TUNING = (history.draw, by_knob.draw, ceilings.draw, pareto.draw, importances.draw)
"""Charts of a search."""
LEARNING = (loss_curves.draw_time, loss_curves.draw_updates, loss_curves.draw_samples)
"""Charts of a search by losses."""
