"""Loss of windows under a setting: still finite, or not."""

from __future__ import annotations

from collections.abc import Sequence

from .. import wire
from ..runtime.session_result import SessionResult
from ..types import Failure

NAN_UPDATES = 5
"""Consecutive non-finite losses, up to the end, from which a training does not recover."""
MOST = 0.5
"""Share of the losses from which a training is broken, even if some are finite."""


def not_finite(count: int, at_end: int, updates: int) -> Failure | None:
    """Return a failure, besides the measurements, if the training broke.

    A few infinite losses in between are a scaler's search.
    """
    for_good = at_end > 0 and at_end >= min(NAN_UPDATES, updates)
    mostly = count >= NAN_UPDATES and count > MOST * updates
    if not for_good and not mostly:
        return None
    end = f", including all of the last {at_end}" if for_good and at_end > 1 else ""
    return Failure(kind="nan", message=f"the loss was not finite in {count} of the {updates} updates counted{end}")


def baseline_windows(result: SessionResult) -> list[wire.WindowDone]:
    return [
        outcome
        for name, outcome in result.outcomes.items()
        if result.windows[name].role is wire.WindowRole.BASELINE
        and isinstance(outcome, wire.WindowDone)
        and outcome.wall_s
    ]


def lost_its_loss(result: SessionResult, window: wire.WindowDone) -> bool:
    """Return whether the loss became non-finite.

    A non-finite loss arrives as None, and so does one that is not a scalar: the baseline tells which.
    """
    before = [other for other in baseline_windows(result) if other.losses]
    were_finite = bool(before) and all(_all_known(other.losses) for other in before[:3])
    return were_finite and not _all_known(window.losses)


def _all_known(losses: Sequence[float | None]) -> bool:
    return all(loss is not None for loss in losses)
