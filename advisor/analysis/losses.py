"""Loss of windows under a setting: still finite, or not."""

from __future__ import annotations

from collections.abc import Sequence

from .. import wire
from ..runtime.session_result import SessionResult


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
