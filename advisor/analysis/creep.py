"""Growth of memory over the baseline's windows: a leak, or an allocator that is finding its size."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from .. import stats, wire

LEAST_POINTS = 12
LATE_FRACTION = 0.5
"""Share of the whole slope that the second half must keep up."""
LEAST_BYTES = 16 * 2**20
"""Growth over the probe below which the allocator is only finding its size."""
NEARLY_LARGEST = 0.95
"""Size of a batch, relative to the largest, from which memory has room for all: until then a longer one may need
more."""
PARTS = 4
EVEN_FRACTION = 0.3
"""Part of the mean rise that each part of the points must show: an allocator grows in uneven steps, a leak evenly."""


@dataclass(frozen=True, kw_only=True)
class Creep:
    slope: stats.Interval
    """Bytes per update."""
    confirmed: bool
    """True if the growth is sure to continue."""


def creep(windows: Sequence[wire.WindowDone], on_device: bool) -> Creep | None:
    """Return the growth of memory per update over these windows, in their order; None if too little was sampled.

    The slope is robust. Only what follows one of the largest batches counts. An allocator that finds its size grows
    too, but ever less, and in steps: the second half must grow like the first, and every part.
    """
    points: list[tuple[float, float]] = []
    for window in windows:
        values = window.device_bytes if on_device else window.rss_bytes
        every_s = sum(window.wall_s) / len(values) if values else 0.0
        points += [(window.start_s + every_s * index, float(value)) for index, value in enumerate(values)]
    since_s = _largest_seen_s(windows)
    points = [point for point in points[len(points) // 4 :] if point[0] >= since_s]
    if len(points) < LEAST_POINTS:
        return None
    late = points[len(points) // 2 :]
    slope, late_slope = (stats.theil_sen([x for x, _y in some], [y for _x, y in some]) for some in (points, late))
    grown = slope.value * (points[-1][0] - points[0][0])
    goes_on = late_slope.low > 0 and late_slope.value >= LATE_FRACTION * slope.value and _is_even(points)
    update_s = statistics.median(wall for window in windows for wall in window.wall_s)
    return Creep(
        slope=stats.Interval(value=slope.value * update_s, low=slope.low * update_s, high=slope.high * update_s),
        confirmed=slope.low > 0 and grown >= LEAST_BYTES and goes_on,
    )


def _largest_seen_s(windows: Sequence[wire.WindowDone]) -> float:
    """Return the time at which one of the largest batches had been seen; the start if all are alike."""
    largest = max((max(window.elements, default=0) for window in windows), default=0)
    for window in windows:
        at_s = window.start_s
        for wall_s, size in zip(window.wall_s, window.element_counts, strict=True):
            if size >= NEARLY_LARGEST * largest:
                return at_s
            at_s += wall_s
    return 0.0


def _is_even(points: Sequence[tuple[float, float]]) -> bool:
    """Return whether memory rises from each part of the points to the next."""
    middle = [statistics.median(y for _x, y in part) for part in stats.parts(points, PARTS)]
    least = EVEN_FRACTION * (middle[-1] - middle[0]) / (PARTS - 1)
    return all(later - earlier >= least for earlier, later in itertools.pairwise(middle))
