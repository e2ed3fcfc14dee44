"""Memory over time, with the limit if it is near enough to matter."""

from __future__ import annotations

from ...types import Profile
from .. import format
from . import _base as chart
from ._base import Drawn, Missing, Picture

TITLE = "Memory"
_NEAR = 0.4
"""Share of the limit from which the limit is drawn; below, it would flatten the curve, and is given in words."""


def draw(profile: Profile) -> Drawn:
    on_device = any(point.accelerator_memory_bytes is not None for point in profile.usage)
    points = [
        (point.at_s, float(value))
        for point in profile.usage
        if (value := point.accelerator_memory_bytes if on_device else point.rss_bytes) is not None
        and len(chart.finite([point.at_s, value])) == 2
    ]
    if len(points) < 2:
        return Missing(title=TITLE, why="memory was not sampled over time")
    limit = profile.memory.limit_bytes if profile.memory is not None else None
    if limit is None and not on_device:
        limit = profile.hardware.memory_limit_bytes
    highest = max(value for _, value in points)
    near = limit is not None and limit > 0 and highest >= _NEAR * limit
    top = max(highest, float(limit)) if near and limit is not None else highest * 1.15
    x = chart.linear(0, points[-1][0], chart.LEFT, chart.RIGHT)
    y = chart.bytes_axis(0, top, chart.BOTTOM, chart.TOP)
    parts = chart.frame(
        x,
        y,
        x_words=lambda tick: f"{tick:g}",
        y_words=lambda tick: chart.bytes_tick(tick, top),
        x_title="seconds since the start",
    )
    bins = chart.thinned(sorted(points))
    parts += [chart.band(bins, x, y, "band memory"), chart.curve(bins, x, y, "curve memory")]
    if near and limit is not None:
        parts += [
            chart.line(x.start, y.at(limit), x.end, y.at(limit), "limit"),
            chart.text("limit", x.end, y.at(limit) - 5, anchor="end"),
        ]
    what = "Memory of the accelerator" if on_device else "Resident memory of the script and its children"
    limit_note = "" if limit is None else f"; the limit is {format.size(limit)}"
    limit_note += "" if near or limit is None else ", far above"
    description = f"{what}: at most {format.size(highest)} in the samples{limit_note}."
    return Picture(title=TITLE, svg=chart.svg(parts, title=TITLE, description=description), caption=description)
