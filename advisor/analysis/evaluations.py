"""Share of the evaluations in the loop, with its interval: often only one or two of them are seen."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from .. import stats, wire
from ..runtime.session_result import SessionResult
from ..types import EvaluationUse, Workload
from .counted import Counted
from .profile_plan import EPOCH_ENDS, measured
from .summary import later_baselines

ALONE = 0.3
"""Relative half-width of the interval where one evaluation was seen: the first allocates, and reads uncached data."""
SPREAD = stats.PriorSpread(deviation=0.1, degrees=4)
"""Spread assumed of the durations of a script's evaluations, relative to their mean, until more are seen."""


def evaluation_use(counted: Counted, result: SessionResult, workload: Workload) -> EvaluationUse | None:
    """Return the evaluations' use of the loop; None if none was seen.

    Warm-up counts as well: an evaluation there looks like a part of it.
    """
    baselines = [counted.done, *later_baselines(result)]
    seen = [
        pair
        for done in baselines
        for pair in zip(_beside(done, "evaluation"), _beside(done, "loader_restart"), strict=True)
        if pair[0] > 0
    ]
    forced = [window for name in EPOCH_ENDS if (window := measured(result.outcomes, name)) is not None]
    at_ends_s = [spent_s for spent_s, restart_s in seen if restart_s > 0]
    at_ends_s += [spent_s for window in forced if (spent_s := sum(_beside(window, "evaluation"))) > 0]
    parts, epoch_s = _parts([*baselines, *forced]), _epoch_s(counted, workload)
    if at_ends_s and all(restart_s > 0 for _spent_s, restart_s in seen) and epoch_s is not None:
        return _at_ends(at_ends_s, epoch_s, parts)
    return _inside(baselines, parts)


def _at_ends(durations_s: Sequence[float], epoch_s: float, parts: dict[str, float]) -> EvaluationUse:
    mean_s, low_s, high_s = _interval(durations_s)
    return EvaluationUse(
        count=len(durations_s),
        seconds=mean_s,
        share=mean_s / (epoch_s + mean_s),
        low=low_s / (epoch_s + low_s),
        high=high_s / (epoch_s + high_s),
        **parts,
    )


def _inside(windows: Sequence[wire.WindowDone], parts: dict[str, float]) -> EvaluationUse | None:
    """Return the share by whole cycles, from one evaluation of the first window to the next; else by those of all.

    A window holds one evaluation more or less than its length tells.
    """
    spent_s, wall_s = _beside(windows[0], "evaluation"), windows[0].wall_s
    places = [index for index, seconds in enumerate(spent_s) if seconds > 0]
    if len(places) > 1:
        shares = [spent_s[end] / sum(wall_s[begin + 1 : end + 1]) for begin, end in itertools.pairwise(places)]
        seen_s = [spent_s[place] for place in places]
        share, low, high = _interval(shares)
        return EvaluationUse(
            count=len(places), seconds=sum(seen_s) / len(seen_s), share=share, low=low, high=min(high, 1.0), **parts
        )
    seen_s = [seconds for done in windows for seconds in _beside(done, "evaluation") if seconds > 0]
    whole_s = math.fsum(wall for done in windows for wall in done.wall_s)
    if not seen_s or whole_s <= 0:
        return None
    count, share = len(seen_s), math.fsum(seen_s) / whole_s
    return EvaluationUse(
        count=count,
        seconds=math.fsum(seen_s) / count,
        share=share,
        low=share * (count - 1) / count,
        high=min(share * (count + 1) / count, 1.0),
        **parts,
    )


def _beside(window: wire.WindowDone, name: str) -> list[float]:
    """Return the seconds of this work beside each update; zeros if none was seen."""
    return window.off_step_s.get(name) or [0.0] * len(window.wall_s)


def _interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean and its interval, never below zero; a wide one for a single value."""
    if len(values) == 1:
        return values[0], values[0] * (1 - ALONE), values[0] * (1 + ALONE)
    mean = math.fsum(values) / len(values)
    found = stats.mean_interval(
        values, prior=stats.PriorSpread(deviation=SPREAD.deviation * mean, degrees=SPREAD.degrees)
    )
    return mean, max(found.low, 0.0), found.high


def _epoch_s(counted: Counted, workload: Workload) -> float | None:
    """Return the seconds of the updates of an epoch of the script's own length; None if the loader does not say."""
    loader = workload.train_loader
    if loader is None or not loader.length_batches:
        return None
    epoch_s: float = loader.length_batches / counted.batches * (sum(counted.in_step_s) / counted.updates)
    return epoch_s


def _parts(windows: Sequence[wire.WindowDone]) -> dict[str, float]:
    """Return the fractions of the evaluations' time in the model and at their loaders; empty if not split."""
    split = [window.extra["evaluation_phases_s"] for window in windows if "evaluation_phases_s" in window.extra]
    whole_s = sum(sum(phases_s.values()) for phases_s in split)
    if whole_s <= 0:
        return {}
    return {
        "forward_fraction": sum(phases_s["forward"] for phases_s in split) / whole_s,
        "wait_fraction": sum(phases_s["data_wait"] for phases_s in split) / whole_s,
    }
