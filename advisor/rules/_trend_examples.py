"""Parts of evidence to build examples from: evaluations, graph breaks, trends."""

from __future__ import annotations

from typing import Any

from ..types import EvaluationUse, GraphBreak, Growth


def evaluation(seconds: float, share: float, **changes: Any) -> EvaluationUse:
    """Return three evaluations with this share of the loop, known to a tenth."""
    given: dict[str, Any] = {"count": 3, "seconds": seconds, "share": share, "low": 0.9 * share, "high": 1.1 * share}
    return EvaluationUse(**{**given, "forward_fraction": 0.9, "wait_fraction": 0.0, **changes})


def graph_break(**changes: Any) -> GraphBreak:
    """Return a break at a line that reads a value."""
    given: dict[str, Any] = {"reason": "Tensor.item()", "file": "train.py", "line": 31, "function": "forward"}
    return GraphBreak(**{**given, **changes})


def growth(rise: float, **changes: Any) -> Growth:
    """Return a trend from updates of 10 ms to `rise` times as much over 1,300 updates, with changes."""
    slope_s = (rise - 1) * 0.010 / 1300
    given: dict[str, Any] = {
        "updates": 400,
        "through": 1300,
        "slope_s": slope_s,
        "low_s": 0.9 * slope_s,
        "high_s": 1.1 * slope_s,
        "start_s": 0.010,
        "mean_s": 0.010 * (1 + rise) / 2,
        "end_s": 0.010 * rise,
        "goes_on": True,
    }
    return Growth(**{**given, **changes})
