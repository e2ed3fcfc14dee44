"""Verdict on settings that change the training, from pairs of trainings with common seeds and their losses."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from .. import stats
from ..analysis import time_to_loss
from ..types import (
    JudgedBy,
    LearningObjective,
    LearningPair,
    LearningStatus,
    LearningVerdict,
    LossCurve,
    LossKind,
    TrainingRun,
)

FEWEST_SEEDS = 3
"""Pairs that a verdict needs: fewer say nothing of how much seeds differ."""
MOST_SEEDS = 5
"""Pairs after which it is left at that; a gain that five do not show is not worth another trajectory."""
ERROR_RATE = 0.05
PRIOR = stats.PriorSpread(deviation=0.2, degrees=2)
"""Spread assumed of the log ratio of two times to a loss: those of small networks differ by 5 to 30% between seeds. It
counts as much as three pairs, so that three which agree by chance prove less."""
FLOOR = 0.05
"""Least gain of the time to a loss that is worth another trajectory, and within which there is none."""
ROUNDING = 0.01
"""Part of the loss that always counts as equal at the end."""
LATE = 1.1
"""Multiple of a fixed time up to which a training may end: times of processes scatter, and so does the last update."""
ON_THE_WAY = 1 / 3
"""Part of the horizon at which it shows who is ahead."""
OF_EVALUATIONS: tuple[LossKind, ...] = ("validation loss", "printed metric")
"""Losses that come at some updates, and not with each."""
BROKEN = ("diverged", "nan")
"""Ends of a training that its settings cause."""


def curve_of(run: TrainingRun, loss: LossKind) -> LossCurve | None:
    """Return the losses that this comparison goes by."""
    return run.validation if loss in OF_EVALUATIONS else run.training


def pair_of(
    baseline: TrainingRun,
    candidate: TrainingRun,
    loss: LossKind,
    horizon_s: float | None,
    pace_s: float | None = None,
    judged_by: JudgedBy = "end",
) -> LearningPair:
    """Return what a pair shows.

    `horizon_s` is a fixed time; None compares the whole of both. `pace_s` is the time of an update on both sides; None
    takes the times as they were.
    """
    before, after = (_paced(curve_of(run, loss), pace_s) for run in (baseline, candidate))
    # The search has seen the loss fall; whether it is clear with every seed does not matter.
    target = time_to_loss.judged_loss(before, judged_by) if before is not None and baseline.end == "measured" else None
    failed = candidate.end != "measured"
    return LearningPair(
        seed=baseline.seed,
        target=target,
        baseline_s=time_to_loss.time_to(before, target, judged_by)
        if before is not None and target is not None
        else None,
        candidate_s=time_to_loss.time_to(after, target, judged_by)
        if after is not None and target is not None
        else None,
        baseline_loss=_judged(before, judged_by, horizon_s),
        candidate_loss=None if failed else _judged(after, judged_by, horizon_s),
        baseline=_drawn(before),
        candidate=_drawn(after),
        message=f"{candidate.end}: {candidate.message}" if failed else "",
    )


def judge(
    pairs: Sequence[tuple[TrainingRun, TrainingRun]],
    *,
    loss: LossKind,
    objective: LearningObjective,
    horizon_s: float | None = None,
    confidence: float = 1 - ERROR_RATE,
    same_pace: bool = False,
    judged_by: JudgedBy = "end",
) -> LearningVerdict:
    """Return the verdict on (baseline, candidate) pairs, each of one seed. `judged_by` is that of the search.

    `same_pace`: an update takes as long on both sides. Times then follow from the updates, and programs that run beside
    some of the processes do not count.
    """
    pace_s = _least_pace(pairs) if same_pace else None
    found = tuple(pair_of(one, two, loss, horizon_s, pace_s, judged_by) for one, two in pairs)
    if not found:
        return LearningVerdict(status="unverified", why="no pair of trainings ended")
    broken = [two for _one, two in pairs if two.end != "measured"]
    if broken:
        ends = {two.end for two in broken}
        status: LearningStatus = "slower" if ends <= set(BROKEN) else "unverified"
        return LearningVerdict(
            status=status,
            pairs=found,
            why=f"{len(broken)} of {len(pairs)} trainings with these settings failed: {broken[0].message}",
        )
    speed, changed = _speed(found, confidence), _change(found, confidence)
    base = [pair.baseline_loss for pair in found if pair.baseline_loss is not None]
    status, why = _status(found, speed, changed, _tolerance(base), objective, judged_by)
    return LearningVerdict(
        status=status,
        pairs=found,
        speedup=speed.value if speed is not None else 1.0,
        low=speed.low if speed is not None else 0.0,
        high=speed.high if speed is not None else math.inf,
        reached=sum(pair.candidate_s is not None for pair in found),
        change=changed.value if changed is not None else None,
        change_low=changed.low if changed is not None else None,
        change_high=changed.high if changed is not None else None,
        seeds_differ=statistics.stdev(base) if len(base) > 1 else None,
        why=why,
    )


def _status(
    pairs: Sequence[LearningPair],
    speed: stats.Interval | None,
    changed: stats.Interval | None,
    tolerance: float,
    objective: LearningObjective,
    judged_by: JudgedBy,
) -> tuple[LearningStatus, str]:
    if len(pairs) < FEWEST_SEEDS:
        return "undecided", f"{len(pairs)} of at least {FEWEST_SEEDS} pairs of trainings ended"
    if changed is None:
        return _without_losses(pairs, objective)
    what = "the lowest loss" if judged_by == "lowest" else "the loss at the end"
    end = f"{what} changes by {changed.value:+.3g} ({changed.low:+.3g} to {changed.high:+.3g})"
    is_higher = changed.value > tolerance
    if is_higher:
        end = f"{end}, and equal trainings differ by {tolerance:.3g}"
    if is_higher and changed.low > 0 and all(_was_ahead(pair) for pair in pairs):
        return "loses at the end", f"ahead on the way, but {end}"
    if objective == "loss_at_time":
        return _at_a_time(changed), end
    if is_higher:
        return ("slower" if changed.low > 0 else "undecided"), end
    return _by_times(pairs, speed, end)


def _by_times(pairs: Sequence[LearningPair], speed: stats.Interval | None, end: str) -> tuple[LearningStatus, str]:
    if any(pair.target is None for pair in pairs):
        return "unverified", "the losses of the unmodified script set no target with every seed"
    if speed is not None:
        return _by_speed(speed), end
    reached = sum(pair.candidate_s is not None for pair in pairs)
    status: LearningStatus = "undecided" if reached else "no significant gain"
    return status, f"{reached} of {len(pairs)} trainings reached the target within the horizon; {end}"


def _without_losses(pairs: Sequence[LearningPair], objective: LearningObjective) -> tuple[LearningStatus, str]:
    only_written = all(pair.baseline_loss is None and pair.candidate_loss is not None for pair in pairs)
    if objective == "loss_at_time" and only_written:
        return "better", "the loss of the unmodified script is not a finite number at the end"
    return "unverified", "the losses at the end are not known"


def _at_a_time(changed: stats.Interval) -> LearningStatus:
    if changed.high < 0:
        return "better"
    return "worse" if changed.low > 0 else "undecided"


def _by_speed(speed: stats.Interval) -> LearningStatus:
    if speed.low > 1 + FLOOR:
        return "faster"
    if speed.high < 1:
        return "slower"
    return "no significant gain" if speed.high <= 1 + FLOOR else "undecided"


def _least_pace(pairs: Sequence[tuple[TrainingRun, TrainingRun]]) -> float | None:
    """Return the least time of an update in any of the trainings: other programs only ever make it longer."""
    curves = [run.training for pair in pairs for run in pair]
    paces = [time_to_loss.update_s(curve) for curve in curves if curve is not None and len(curve)]
    return min(paces, default=None)


def _paced(curve: LossCurve | None, pace_s: float | None) -> LossCurve | None:
    return curve if curve is None or pace_s is None else time_to_loss.at_pace(curve, pace_s)


def _speed(pairs: Sequence[LearningPair], confidence: float) -> stats.Interval | None:
    """Return the ratio of the times to the target; None unless every training reached it, twice at least."""
    times = [(pair.candidate_s, pair.baseline_s) for pair in pairs]
    known = [(after, before) for after, before in times if after and before]
    if len(known) < max(2, len(pairs)):
        return None
    return stats.ratio_interval(known, confidence=confidence, prior=PRIOR)


def _change(pairs: Sequence[LearningPair], confidence: float) -> stats.Interval | None:
    both = [(pair.baseline_loss, pair.candidate_loss) for pair in pairs]
    known = [after - before for before, after in both if before is not None and after is not None]
    if len(known) < max(2, len(pairs)):
        return None
    return stats.mean_interval(known, confidence=confidence)


def _tolerance(losses: Sequence[float]) -> float:
    """Return the difference at the end that seeds alone make."""
    if not losses:
        return 0.0
    spread = statistics.stdev(losses) if len(losses) > 1 else 0.0
    return max(spread, ROUNDING * abs(statistics.fmean(losses)))


def _was_ahead(pair: LearningPair) -> bool:
    """Return whether the candidate reached the target sooner, or had the lower loss a third of the way."""
    if pair.candidate_s is not None and pair.baseline_s is not None and pair.candidate_s < pair.baseline_s:
        return True
    if pair.baseline is None or pair.candidate is None or not len(pair.baseline):
        return False
    at_s = ON_THE_WAY * pair.baseline.seconds[-1]
    before, after = time_to_loss.loss_at(pair.baseline, at_s), time_to_loss.loss_at(pair.candidate, at_s)
    return before is not None and after is not None and after < before


def _judged(curve: LossCurve | None, judged_by: JudgedBy, seconds: float | None) -> float | None:
    if curve is None:
        return None
    return time_to_loss.judged_loss(curve, judged_by, math.inf if seconds is None else LATE * seconds)


def _drawn(curve: LossCurve | None) -> LossCurve | None:
    return None if curve is None else time_to_loss.binned(curve)
