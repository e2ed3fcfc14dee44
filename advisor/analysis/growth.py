"""Trend of an update's time over a script run, at batches of like size."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .. import stats, wire
from ..runtime.session_result import Outcome
from ..types import PHASES, Growth, HotLine
from ..wire import WindowRole

LEAST_UPDATES = 20
"""Fewest updates of like size: of fewer, one slow spell of the machine decides."""
LIKE_SIZE = 0.1
"""Relative difference up to which two batches are alike."""
LEAST_SPAN = 0.6
"""Share of the updates' range that those of like size must cover: batches that become longer are no trend."""
PARTS = 5
"""Parts of the updates, by order, whose medians must not fall."""
MOST_FALL = 0.03
"""Relative fall from one part to the next that is noise."""
LATE_FRACTION = 0.5
"""Share of the whole slope that the later half must keep up: a machine that becomes slower once does not."""
LEAST_START_FRACTION = 0.1
"""Part of the first updates' time below which the trend's value at the start is an artefact of a curve."""
SUSPECTED_RISE = 1.15
"""Rise from the first to the last of the updates from which lines are sampled again."""
LEAST_OF_RISE = 0.1
"""Share of the rise below which a line is left out."""


@dataclass(frozen=True, kw_only=True)
class _Point:
    number: int
    """Updates of the script run before this one."""
    seconds: float
    elements: int
    phases_s: tuple[float, ...]


def growth(windows: Sequence[wire.WindowDone], lines: Sequence[HotLine] = ()) -> Growth | None:
    """Return the trend over these windows of the baseline, of one script run and in their order.

    `lines` are those whose time rises, if they are known. The slope is robust (Theil–Sen), and its interval treats
    updates as independent: so medians of parts must not fall, and the later half must rise, too.
    """
    points = _of_like_size([point for window in windows for point in _points(window)])
    if len(points) < LEAST_UPDATES:
        return None
    slope = _slope(points)
    late = _slope(points[len(points) // 2 :])
    medians = [statistics.median(point.seconds for point in part) for part in stats.parts(points, PARTS)]
    falls = any(later < earlier * (1 - MOST_FALL) for earlier, later in itertools.pairwise(medians))
    at_zero = statistics.median(point.seconds - slope.value * point.number for point in points)
    start_s = at_zero if at_zero >= LEAST_START_FRACTION * medians[0] else medians[0]
    through = points[-1].number + 1
    end_s = max(at_zero + slope.value * through, start_s) if slope.value > 0 else start_s
    counted = [window for window in windows if window.hooks is not None]
    hooks = (counted[0].hooks or 0, counted[-1].hooks or 0) if counted else None
    between = _before(counted[-1]) - _before(counted[0]) if counted else 0
    return Growth(
        updates=len(points),
        through=through,
        slope_s=slope.value,
        low_s=slope.low,
        high_s=slope.high,
        start_s=start_s,
        mean_s=(start_s + end_s) / 2,
        end_s=end_s,
        goes_on=not falls and late.low > 0 and late.value >= LATE_FRACTION * slope.value,
        phases=_phases(points),
        hooks=hooks,
        hooks_per_update=(hooks[1] - hooks[0]) / between if hooks and between > 0 else None,
        lines=tuple(lines),
    )


def baselines(
    outcomes: Mapping[str, Outcome], windows: Mapping[str, wire.Window], script_run_of: Mapping[str, int]
) -> list[wire.WindowDone]:
    """Return the windows of the baseline in the script run of the first of them, in their order."""
    roles = (WindowRole.PROFILE, WindowRole.BASELINE)
    found = [
        outcome
        for name, outcome in outcomes.items()
        if isinstance(outcome, wire.WindowDone)
        and outcome.wall_s
        and windows[name].role in roles
        and outcome.updates_before is not None
    ]
    first = script_run_of.get(found[0].id, 0) if found else 0
    return sorted((each for each in found if script_run_of.get(each.id, 0) == first), key=_before)


def rises(windows: Sequence[wire.WindowDone]) -> bool:
    """Return whether updates became longer enough for the lines that did it to be looked for."""
    found = growth(windows)
    return found is not None and found.low_s > 0 and found.end_s >= SUSPECTED_RISE * found.start_s


def risen_lines(
    early: Sequence[HotLine], early_s: float, late: Sequence[HotLine], late_s: float
) -> tuple[HotLine, ...]:
    """Return the lines whose seconds per update rose between two samples, with their share of the rise.

    `early_s` and `late_s` are the mean updates that the shares are of.
    """
    if late_s <= early_s:
        return ()
    before: dict[tuple[str, int, str], float] = {}
    after: dict[tuple[str, int, str], float] = {}
    for lines, mean_s, sums in ((early, early_s, before), (late, late_s, after)):
        for line in lines:
            key = (line.file, line.line, line.phase)
            sums[key] = sums.get(key, 0.0) + line.share * mean_s
    shares = {key: (seconds - before.get(key, 0.0)) / (late_s - early_s) for key, seconds in after.items()}
    named = {(line.file, line.line, line.phase): line for line in reversed(late)}
    risen = [replace(named[key], share=min(share, 1.0)) for key, share in shares.items() if share >= LEAST_OF_RISE]
    return tuple(sorted(risen, key=lambda line: -line.share))


def _before(window: wire.WindowDone) -> int:
    return window.updates_before or 0


def _points(window: wire.WindowDone) -> list[_Point]:
    count = len(window.wall_s)
    inside = list(zip(*(window.phases_s.get(name) or [0.0] * count for name in PHASES), strict=True))
    return [
        _Point(number=_before(window) + index, seconds=sum(phases_s), elements=size, phases_s=phases_s)
        for index, (phases_s, size) in enumerate(zip(inside, window.element_counts, strict=True))
    ]


def _of_like_size(points: Sequence[_Point]) -> list[_Point]:
    """Return the updates whose batches are as large as the typical one; empty if they cover too little of the run."""
    if not points:
        return []
    typical = statistics.median_low(point.elements for point in points)
    like = [point for point in points if abs(point.elements - typical) <= LIKE_SIZE * typical]
    whole = points[-1].number - points[0].number
    return like if like[-1].number - like[0].number >= LEAST_SPAN * whole else []


def _slope(points: Sequence[_Point]) -> stats.Interval:
    return stats.theil_sen([float(point.number) for point in points], [point.seconds for point in points])


def _phases(points: Sequence[_Point]) -> dict[str, float]:
    """Return the share of the rise by phase, from the medians of the first and the last part."""
    parts = stats.parts(points, PARTS)
    rise = {name: max(0.0, _typical(parts[-1], place) - _typical(parts[0], place)) for place, name in enumerate(PHASES)}
    whole = sum(rise.values())
    return {name: value / whole for name, value in rise.items()} if whole > 0 else {}


def _typical(points: Sequence[_Point], place: int) -> float:
    return statistics.median(point.phases_s[place] for point in points)
