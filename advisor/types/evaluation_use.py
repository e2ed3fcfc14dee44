"""Evaluations of the script: how long one takes, and their share of the loop."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class EvaluationUse:
    """Evaluations beside the updates, seen inside the loop or at the ends of epochs."""

    count: int
    """Evaluations seen."""
    seconds: float
    """Mean wall time of one, with the metrics computed after its last batch."""
    share: float
    """Share of the loop's wall time, for epochs of the script's own length."""
    low: float
    """Lower end of the share's interval: few evaluations were seen, and one may differ from the next."""
    high: float
    forward_fraction: float | None = None
    """Part of the evaluations' time in the model's forward; None if it was not split."""
    wait_fraction: float | None = None
    """Part in which their loaders are waited for."""
