"""Outcome and ratio of a configuration, computed from its windows."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Sequence
from typing import Literal

from .. import wire
from ..analysis import ratios
from ..analysis.losses import baseline_windows, lost_its_loss
from ..runtime.session_result import SessionResult
from ..types import Ratio, TrialOutcome
from ..verification.process import peak_bytes

OutcomeKind = Literal["oom", "crash", "hang", "nan", "refused", "stopped"]
Joules = Callable[[float, float], float | None]
"""(begin, end) of `time.monotonic` → energy used between them; None if that is not known."""
_KINDS: dict[str, OutcomeKind] = {
    "oom": "oom",
    "crash": "crash",
    "exit": "crash",
    "hang": "hang",
    "nan": "nan",
    "refused": "refused",
}


def outcome_of(result: SessionResult, window_ids: Sequence[str], joules: Joules | None = None) -> TrialOutcome:
    """Return the outcome of a configuration's windows, or why there is none: one failed window speaks for all."""
    found = [result.outcomes.get(name) for name in window_ids]
    done = [outcome for outcome in found if isinstance(outcome, wire.WindowDone) and outcome.wall_s]
    for outcome in found:
        if isinstance(outcome, wire.WindowRefused):
            return TrialOutcome(kind=_KINDS.get(outcome.kind, "crash"), message=outcome.message)
    if not done:
        return TrialOutcome(kind="stopped", message="time ran out before it was measured")
    if any(lost_its_loss(result, window) for window in done):
        return TrialOutcome(kind="nan", message="the loss was no longer finite")
    return TrialOutcome(
        kind="measured",
        message=_too_short(done),
        samples_per_s=_samples_per_s(done),
        peak_bytes=max((peak_bytes(window) or 0 for window in done), default=0) or None,
        set_up_s=max((window.set_up_s for window in done if window.set_up_s is not None), default=None),
        joules_per_sample=_joules_per_sample(result, done, joules) if joules is not None else None,
    )


def _too_short(windows: Sequence[wire.WindowDone]) -> str:
    """Say how long a window would have to be, if the workers delivered in bursts and no window averaged them out."""
    short = [window for window in windows if window.extra.get("needed_updates")]
    if not short or len(short) < len(windows):
        return ""
    needed = max(int(window.extra["needed_updates"]) for window in short)
    seconds = needed * sum(sum(window.wall_s) for window in short) / sum(len(window.wall_s) for window in short)
    return f"its workers deliver in bursts: a window of about {seconds:.0f} s would average them out"


def baseline_outcome(result: SessionResult, joules: Joules | None = None) -> TrialOutcome | None:
    """Return the outcome of all baseline windows together; None if none was run."""
    done = [window for window in baseline_windows(result) if not lost_its_loss(result, window)]
    if not done:
        return None
    peaks = [peak for window in done if (peak := peak_bytes(window)) is not None]
    return TrialOutcome(
        kind="measured",
        samples_per_s=_samples_per_s(done),
        # The median: the peak at one epoch's end is not what its steps need.
        peak_bytes=int(statistics.median_low(peaks)) if peaks else None,
        joules_per_sample=_joules_per_sample(result, done, joules) if joules is not None else None,
    )


def ratio_of(
    result: SessionResult,
    window_ids: Collection[str],
    epoch_samples: int | None,
    *,
    across_script_runs: bool = False,
    beside: ratios.Beside = ratios.BASELINE,
) -> Ratio | None:
    """Return the speed-up over the neighbouring windows of the baseline, or of what is `beside`; None if none of them
    can be compared."""
    usable = {name for name in window_ids if _comparable(result, name)}
    if not usable:
        return None
    return ratios.speedup(result, usable, epoch_samples, across_script_runs=across_script_runs, beside=beside)


def _samples_per_s(windows: Sequence[wire.WindowDone]) -> float | None:
    counts = [count for window in windows for count in window.samples]
    known = [count for count in counts if count is not None]
    return sum(known) / sum(sum(window.wall_s) for window in windows) if len(known) == len(counts) else None


def _joules_per_sample(result: SessionResult, windows: Sequence[wire.WindowDone], joules: Joules) -> float | None:
    """Return the joules per sample of the windows whose energy and samples are both known."""
    used, samples = 0.0, 0
    for window in windows:
        end_s = result.arrived_s[window.id]
        if any(count is None for count in window.samples):
            continue
        spent = joules(end_s - sum(window.wall_s), end_s)
        if spent is not None:
            used += spent
            samples += sum(count or 0 for count in window.samples)
    return used / samples if samples and used > 0 else None


def _comparable(result: SessionResult, name: str) -> bool:
    found = result.outcomes.get(name)
    return isinstance(found, wire.WindowDone) and len(found.wall_s) > 1 and not lost_its_loss(result, found)
