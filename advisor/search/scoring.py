"""From the windows of a configuration to its outcome and its ratio."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from .. import wire
from ..session import ratios
from ..session.session import SessionResult
from ..types import Ratio, TrialOutcome

OutcomeKind = Literal["oom", "crash", "hang", "nan", "refused", "stopped"]
_KINDS: dict[str, OutcomeKind] = {
    "oom": "oom",
    "crash": "crash",
    "exit": "crash",
    "hang": "hang",
    "nan": "nan",
    "refused": "refused",
}


def outcome_of(result: SessionResult, window_id: str) -> TrialOutcome:
    """What a window gave, or why it gave nothing."""
    found = result.outcomes.get(window_id)
    if isinstance(found, wire.WindowRefused):
        return TrialOutcome(kind=_KINDS.get(found.kind, "crash"), message=found.message)
    if found is None or not found.wall_s:
        return TrialOutcome(kind="stopped", message="the time was up before it was measured")
    if _lost_its_loss(result, found):
        return TrialOutcome(kind="nan", message="the loss was no finite number any more")
    counts = [count for count in found.samples if count is not None]
    whole = len(counts) == len(found.wall_s)
    host = max(found.rss_bytes, default=0)
    return TrialOutcome(
        kind="measured",
        samples_per_s=sum(counts) / sum(found.wall_s) if whole else None,
        peak_bytes=found.device_peak_bytes or host or None,
    )


def ratio_of(result: SessionResult, window_ids: Collection[str], epoch_samples: int | None) -> Ratio | None:
    """The speed-up over the windows as written beside these; None where none of them can be compared."""
    usable = {name for name in window_ids if _comparable(result, name)}
    return ratios.speedup(result, usable, epoch_samples) if usable else None


def _comparable(result: SessionResult, name: str) -> bool:
    found = result.outcomes.get(name)
    return isinstance(found, wire.WindowDone) and len(found.wall_s) > 1 and not _lost_its_loss(result, found)


def _lost_its_loss(result: SessionResult, window: wire.WindowDone) -> bool:
    """What is no number arrives as None, and so does a loss that is no scalar: the script as written tells which."""
    before = [
        other
        for name, other in result.outcomes.items()
        if isinstance(other, wire.WindowDone) and other.losses and name.startswith("base")
    ]
    told = bool(before) and all(_all_known(other.losses) for other in before[:3])
    return told and not _all_known(window.losses)


def _all_known(losses: Sequence[float | None]) -> bool:
    return all(loss is not None for loss in losses)
