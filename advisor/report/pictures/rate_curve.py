"""The loss over the learning rate in a range test: each update, the smoothed sweeps, and the rates that train."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TypeGuard

from ...plural import plural
from ...rate_curve import differences, smoothed
from ...types import RangeTest, RateSweep
from . import _base as chart
from ._base import Drawn, Missing, Picture

TITLE = "Loss over the learning rate"
_WIDTH, _HEIGHT = 920, 300
_TOP, _BOTTOM = 54, _HEIGHT - 40
"""Edges of the area inside the axes; the marks' words stand above it, one line each."""
_FIRST = 1.0
"""Decades at the low end that show the loss before it falls."""
MOST_RISE = 1.0
"""The chart ends where the loss has risen by so many of its falls: a diverged loss of 1e6 must not flatten the rest."""

Point = tuple[float, float]
"""A rate, and the loss there."""


def draw(found: RangeTest) -> Drawn:
    sweeps = [points for sweep in found.sweeps if (points := _points(sweep, found.reference))]
    if not any(len(points) > 1 for points in sweeps):
        return Missing(title=TITLE, why="no sweep was completed")
    every = [point for points in sweeps for point in points]
    low, high = _span(sweeps)
    right = _WIDTH - chart.MARGIN_RIGHT
    x = chart.decades(min(rate for rate, _loss in every), max(rate for rate, _loss in every), chart.LEFT, right)
    y = chart.linear(low, high, _BOTTOM, _TOP)
    digits = max(0, 1 - math.floor(math.log10(max(y.high - y.low, chart.LEAST))))
    frame = chart.frame(
        x,
        y,
        x_words=lambda tick: f"{tick:g}",
        y_words=lambda tick: f"{tick:.{min(digits, 6)}f}",
        x_title="learning rate",
    )
    parts = [*_range(found, x, y), *frame]
    parts += [
        chart.tag("circle", cx=x.at(rate), cy=y.at(loss), r=1.75, class_="dot raw")
        for rate, loss in every
        if loss <= y.high
    ]
    parts += [
        chart.path([(x.at(rate), y.at(loss)) for rate, loss in _curve(points, y.high)], "curve") for points in sweeps
    ]
    parts += _marks(found, x, y)
    caption = _caption(found)
    drawn = chart.svg(parts, title=TITLE, description=caption, width=_WIDTH, height=_HEIGHT)
    return Picture(title=TITLE, svg=drawn, caption=caption, wide=True)


def _points(sweep: RateSweep, reference: Sequence[float]) -> list[Point]:
    """Return the rates and losses of a sweep up to its first loss that is no number."""
    found = []
    for rate, loss in zip(sweep.rates, differences(sweep, reference), strict=False):
        if not abs(loss) < chart.GREATEST:
            break
        if _is_rate(rate):
            found.append((rate, loss))
    return found


def _span(sweeps: Sequence[Sequence[Point]]) -> Point:
    """Return the ends of the axis of losses: from the lowest to a good rise above where the sweeps began."""
    losses = [loss for points in sweeps for _rate, loss in points]
    begin = [loss for points in sweeps for rate, loss in points if rate <= points[0][0] * 10**_FIRST]
    level, lowest = statistics.median(begin), min(losses)
    return lowest, max(level + MOST_RISE * (level - lowest), min(max(begin), max(losses)))


def _curve(points: Sequence[Point], top: float) -> list[Point]:
    """Return the smoothed losses, up to where they leave the chart."""
    losses = smoothed([math.log10(rate) for rate, _loss in points], [min(loss, top) for _rate, loss in points])
    return [(rate, loss) for (rate, _own), loss in zip(points, losses, strict=True)]


def _range(found: RangeTest, x: chart.Axis, y: chart.Axis) -> list[str]:
    """Shade the rates from which on the loss falls, up to where it diverges."""
    bracket = found.bracket
    if bracket is None:
        return []
    begin = x.at(bracket.falls_from) if _is_rate(bracket.falls_from) else x.start
    end = x.at(bracket.diverges_from) if _is_rate(bracket.diverges_from) else x.end
    return [chart.rectangle(begin, y.end, end - begin, y.start - y.end, "ground bracket")]


def _marks(found: RangeTest, x: chart.Axis, y: chart.Axis) -> list[str]:
    """Draw the suggestion with its interval, and the script's rate, each with its word on a line of its own."""
    parts = []
    suggestion = found.suggestion
    if suggestion is not None and all(map(_is_rate, (suggestion.low, suggestion.rate, suggestion.high))):
        span = x.at(suggestion.high) - x.at(suggestion.low)
        parts.append(chart.rectangle(x.at(suggestion.low), y.end, span, y.start - y.end, "band suggested"))
        parts.append(_mark(f"suggested {suggestion.rate:.2g}", x.at(suggestion.rate), 26, "curve best", x, y))
    if _is_rate(found.script_rate) and x.low <= found.script_rate <= x.high:
        parts.append(_mark(f"the script's {found.script_rate:.2g}", x.at(found.script_rate), 42, "limit", x, y))
    return parts


def _is_rate(rate: float | None) -> TypeGuard[float]:
    """Return whether the rate has a place on a logarithmic axis: a broken file may hold any number."""
    return rate is not None and chart.LEAST < rate < chart.GREATEST


def _mark(words: str, place: float, above: float, class_: str, x: chart.Axis, y: chart.Axis) -> str:
    left = place > (x.start + x.end) / 2
    label = chart.text(words, place - 5 if left else place + 5, above, anchor="end" if left else "start")
    return chart.line(place, above - 9, place, y.start, class_) + label


def _caption(found: RangeTest) -> str:
    what = "loss of an update less that of the same batch at a rate of 0" if found.reference else "loss of an update"
    sweeps = plural(len(found.sweeps), "sweep")
    parts = [f"Points: {what}. Lines: {sweeps} smoothed over the logarithm of the rate."]
    bracket = found.bracket
    if bracket is not None:
        begin = "" if bracket.falls_from is None else f" falls from {bracket.falls_from:.2g} on,"
        end = "" if bracket.diverges_from is None else f" and diverges from {bracket.diverges_from:.2g} on"
        parts.append(f"Shaded: the loss{begin} is lowest at {bracket.valley:.2g}{end}.")
    if found.suggestion is not None:
        parts.append(
            f"Green: the suggestion with its interval, {found.suggestion.low:.2g} to {found.suggestion.high:.2g}."
        )
    return " ".join(parts)
