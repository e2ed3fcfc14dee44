"""Speed against peak memory: the result of each trial, and those that no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...types import Trial, TuneResult
from .. import format
from ..trial_format import changes_training, describe, is_number
from ..trial_rows import front
from . import _base as chart
from ._base import Drawn, Missing, Picture

TITLE = "Speed against peak memory"
_MOST_DRAWN = 300
_MOST = 100.0
_MOST_DESCRIBED = 4
_MANY = 100
"""Number of dots from which they are drawn smaller."""
_APART = 16.0
"""Least distance of two labels, below which they would overlap."""


@dataclass(frozen=True, kw_only=True)
class _Point:
    trial: Trial
    speed: float
    peak: float


def draw(result: TuneResult) -> Drawn:
    points = _points(result.trials)[:_MOST_DRAWN]
    if len(points) < 2:
        return Missing(title=TITLE, why="the peak memory of fewer than two trials is known")
    peaks = [one.peak for one in points]
    least, most = min(peaks), max(peaks)
    padding = 0.06 * (most - least) or 0.1 * most
    x = chart.bytes_axis(max(0.0, least - padding), most + padding, chart.LEFT, chart.RIGHT - 10, about=3)
    speeds = [min(one.speed, _MOST) for one in points]
    y = chart.linear(min(1.0, *speeds), max(1.0, *speeds) + 0.04, chart.BOTTOM, chart.TOP)
    parts = chart.frame(
        x,
        y,
        x_words=lambda tick: chart.bytes_tick(tick, most),
        y_words=lambda tick: f"{tick:g}×",
        x_title="peak memory",
    )
    best = _points(front(result.trials))
    radius = 4 if len(points) <= _MANY else 2.5
    parts.append(chart.line(x.start, y.at(1.0), x.end, y.at(1.0), "limit"))
    parts.append(chart.path(_stairs(best, x, y), "curve front"))
    for one in points:
        parts.append(chart.tag("circle", cx=x.at(one.peak), cy=y.at(one.speed), r=radius, class_=_class(one, result)))
    parts += _labels(best, x, y)
    shown = "; ".join(_describe(one) for one in best[:_MOST_DESCRIBED])
    left = len(best) - _MOST_DESCRIBED
    return Picture(
        title=TITLE,
        svg=chart.svg(parts, title=TITLE, description=f"Pareto front: {shown}."),
        caption="Line: the Pareto front, the trials that no other beats in both. Numbers are those of the table. "
        f"{shown}" + (f"; and {left:,} more." if left > 0 else "."),
    )


def _points(trials: Sequence[Trial]) -> list[_Point]:
    return [
        _Point(trial=trial, speed=trial.ratio.speedup, peak=float(trial.outcome.peak_bytes))
        for trial in trials
        if trial.ratio is not None
        and trial.outcome.peak_bytes is not None
        and is_number(trial.ratio.speedup, trial.outcome.peak_bytes)
    ]


def _stairs(best: Sequence[_Point], x: chart.Axis, y: chart.Axis) -> list[tuple[float, float]]:
    """Return the highest speed reached within each amount of memory, as steps."""
    steps: list[tuple[float, float]] = []
    for one in best:
        if steps:
            steps.append((x.at(one.peak), steps[-1][1]))
        steps.append((x.at(one.peak), y.at(one.speed)))
    return [*steps, (x.end, steps[-1][1])]


def _class(one: _Point, result: TuneResult) -> str:
    if one.trial.config.settings and one.trial.config == result.recommendation.config:
        return "dot chosen"
    return "dot training" if changes_training(one.trial) else "dot"


def _labels(best: Sequence[_Point], x: chart.Axis, y: chart.Axis) -> list[str]:
    parts: list[str] = []
    placed: list[tuple[float, float]] = []
    for one in best:
        left, top = min(x.at(one.peak) + 7, chart.RIGHT - 24), y.at(one.speed) - 7
        if all(abs(left - other) > 2 * _APART or abs(top - above) > _APART for other, above in placed):
            placed.append((left, top))
            parts.append(chart.text(str(one.trial.number), left, top, class_="value number"))
    return parts


def _describe(one: _Point) -> str:
    return f"{one.trial.number}: {describe(one.trial.config)}, {format.times(one.speed)} in {format.size(one.peak)}"
