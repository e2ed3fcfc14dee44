"""Duration of each update, window after window, including the updates dropped as warm-up."""

from __future__ import annotations

from dataclasses import dataclass

from ...plural import plural
from ...stats import percentile
from ...types import Profile, WindowSummary
from .. import format
from . import _base as chart
from ._base import Drawn, Missing, Picture

TITLE = "Time of each update"
_WIDTH = 920
_MOST_WINDOWS = 40
"""Most windows: more would be slivers. Later ones are omitted, and the caption says so."""
_MOST_WARM_UP_SHARE = 0.15
"""Largest share of the axis for the warm-up of one window, so that dropped updates do not displace the counted ones."""
_TALL = 2.5
"""End of the axis as a multiple of the 99th percentile; rarer spikes are marked at the edge."""


@dataclass(frozen=True)
class _Placed:
    window: WindowSummary
    start: int
    warm_up: int
    wall: list[float]


def draw(profile: Profile) -> Drawn:
    windows = [one for one in profile.windows if chart.finite(one.wall_s)][:_MOST_WINDOWS]
    if not windows:
        return Missing(title=TITLE, why="no update was measured")
    placed, end = _place(windows)
    values = [value for one in placed for value in one.wall]
    top = min(max(values), percentile(values, 99) * _TALL)
    x = chart.linear(0, end, chart.LEFT, _WIDTH - chart.MARGIN_RIGHT, about=9)
    x = chart.Axis(low=0, high=end, start=x.start, end=x.end, ticks=tuple(tick for tick in x.ticks if tick <= end))
    y = chart.linear(0, top, chart.BOTTOM, chart.TOP)
    parts: list[str] = []
    for one in placed:
        parts += _ground(one, x, y)
    parts += chart.frame(
        x,
        y,
        x_words=lambda tick: f"{tick:,.0f}",
        y_words=lambda tick: chart.short(format.duration(tick)),
        x_title="updates in order of execution",
    )
    spikes = 0
    most = max(20, 300 // len(placed))
    for one in placed:
        points = [(one.start + one.warm_up + index + 0.5, value) for index, value in enumerate(one.wall)]
        bins = chart.thinned(points, most)
        what_if = "what-if" if one.window.what_if else "own"
        parts += [chart.band(bins, x, y, f"band {what_if}"), chart.curve(bins, x, y, f"curve {what_if}")]
        for single in bins:
            if single.high > y.high:
                spikes += 1
                place = x.at(single.x)
                parts.append(
                    chart.path([(place - 4, y.end + 7), (place + 4, y.end + 7), (place, y.end)], "spike", closed=True)
                )
    if profile.steps is not None and 0 < profile.steps.mean_s <= y.high:
        place = y.at(profile.steps.mean_s)
        parts.append(chart.line(x.start, place, x.end, place, "limit"))
    picture = chart.svg(parts, title=TITLE, description=_description(profile, values), width=_WIDTH)
    return Picture(title=TITLE, svg=picture, caption=_caption(profile, placed, spikes, max(values)), wide=True)


def _place(windows: list[WindowSummary]) -> tuple[list[_Placed], int]:
    """Place windows one after the other, each behind the updates dropped before it."""
    counted = sum(len(one.wall_s) for one in windows)
    placed, position = [], 0
    for window in windows:
        warm_up = min(max(0, window.dropped_updates), max(1, int(counted * _MOST_WARM_UP_SHARE)))
        wall = chart.finite(window.wall_s)
        placed.append(_Placed(window=window, start=position, warm_up=warm_up, wall=wall))
        position += warm_up + len(wall)
    return placed, position


def _ground(one: _Placed, x: chart.Axis, y: chart.Axis) -> list[str]:
    left, begin, right = (
        x.at(v) for v in (one.start, one.start + one.warm_up, one.start + one.warm_up + len(one.wall))
    )
    parts = []
    if one.window.what_if:
        parts.append(chart.rectangle(left, y.end, right - left, y.start - y.end, "ground"))
        # A word needs about 6.5 units a letter; if there is no room the caption's colour must do.
        name = format.what_if_name(one.window.what_if)
        if len(name) * 6.5 < right - left:
            parts.append(chart.text(name, (left + right) / 2, y.end + 13, anchor="middle"))
    if one.warm_up:
        parts.append(chart.rectangle(left, y.end, begin - left, y.start - y.end, "warm-up"))
        if begin - left > 60:
            parts.append(chart.text("warm-up", (left + begin) / 2, y.end + 13, anchor="middle"))
    return parts


def _description(profile: Profile, values: list[float]) -> str:
    mean = "" if profile.steps is None else f", {format.duration(profile.steps.mean_s)} on average over those counted"
    return f"{len(values)} updates from {format.duration(min(values))} to {format.duration(max(values))}{mean}."


def _caption(profile: Profile, placed: list[_Placed], spikes: int, greatest: float) -> str:
    parts = ["Dashed line: mean of the updates counted. Grey: dropped as warm-up."]
    if any(one.window.what_if for one in placed):
        parts.append("Shaded: what-if windows.")
    if any(len(one.wall) > max(20, 300 // len(placed)) for one in placed):
        parts.append("Neighbouring updates are grouped: the line is their median, the band their range.")
    if spikes:
        parts.append(f"{plural(spikes, 'spike')} beyond the axis (▲), the greatest {format.duration(greatest)}.")
    not_drawn = sum(1 for one in profile.windows if one.wall_s) - len(placed)
    if not_drawn > 0:
        parts.append(f"{plural(not_drawn, 'later window')} not drawn.")
    return " ".join(parts)
