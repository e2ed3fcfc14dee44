"""The search, trial by trial: the ratio to the baseline with its interval, failures, and the best so far."""

from __future__ import annotations

from collections.abc import Sequence

from ...plural import plural
from ...types import Trial, TuneResult
from .. import format
from ..trial_format import changes_training, describe, is_number
from ..trial_rows import KIND_WORDS, best_so_far
from . import _base as chart
from ._base import Drawn, Missing, Picture

TITLE = "The search, trial by trial"
_WIDTH = 920
_MOST_DRAWN = 300
"""Most trials drawn: more would be finer than the screen. The last ones are then omitted, and the caption says so."""
_MOST_WHISKERS = 80
_MOST = 100.0
"""Largest speed-up on the axis; the table shows any beyond it."""


def draw(result: TuneResult) -> Drawn:
    trials = result.trials[:_MOST_DRAWN]
    points = [(place, trial) for place, trial in enumerate(trials) if _speed(trial) is not None]
    if len(trials) < 2 or not points:
        return Missing(title=TITLE, why="nothing was tried" if len(trials) < 2 else "no trial was measured")
    x = _x_axis(len(trials))
    failed = [place for place, trial in enumerate(trials) if _speed(trial) is None]
    y = _y_axis([trial for _, trial in points], whiskers=len(points) <= _MOST_WHISKERS, failed=bool(failed))
    parts = chart.frame(
        x,
        y,
        x_words=lambda tick: f"{tick:,.0f}",
        y_words=lambda tick: f"{tick:g}×",
        x_title="trials in order of execution",
    )
    parts.append(chart.line(x.start, y.at(1.0), x.end, y.at(1.0), "limit"))
    parts.append(chart.path(_best(points, x, y), "curve best"))
    for place, trial in points:
        parts += _point(place, trial, result, x, y, whisker=len(points) <= _MOST_WHISKERS)
    parts += [chart.cross(x.at(place), y.start - 8, "failed") for place in failed]
    description = _description(result, points, len(failed))
    return Picture(
        title=TITLE,
        svg=chart.svg(parts, title=TITLE, description=description, width=_WIDTH),
        caption=_caption(result, points, failed=len(failed)),
        wide=True,
    )


def _speed(trial: Trial) -> float | None:
    ratio = trial.ratio
    return ratio.speedup if ratio is not None and is_number(ratio.speedup) else None


def _x_axis(count: int) -> chart.Axis:
    axis = chart.linear(0, count - 1, chart.LEFT + 14, _WIDTH - chart.MARGIN_RIGHT - 10, about=9)
    ticks = tuple(tick for tick in axis.ticks if tick <= count - 1 and tick == int(tick))
    return chart.Axis(low=0, high=max(1, count - 1), start=axis.start, end=axis.end, ticks=ticks)


def _y_axis(trials: Sequence[Trial], *, whiskers: bool, failed: bool) -> chart.Axis:
    """Return an axis with room at the bottom for the marks of failed trials, if there are any."""
    values = [1.0]
    for trial in trials:
        ratio = trial.ratio
        if ratio is not None:
            ends = (ratio.low, ratio.speedup, ratio.high) if whiskers else (ratio.speedup,)
            values += [min(value, _MOST) for value in ends if is_number(value)]
    padding = 0.12 * (max(values) - min(values)) if failed else 0.0
    return chart.linear(max(0.0, min(values) - padding), max(values), chart.BOTTOM, chart.TOP)


def _best(points: Sequence[tuple[int, Trial]], x: chart.Axis, y: chart.Axis) -> list[tuple[float, float]]:
    """Return steps that rise at each trial that keeps the training and beats all before it."""
    places = {trial.number: place for place, trial in points}
    steps: list[tuple[float, float]] = []
    for trial in best_so_far([trial for _, trial in points]):
        if steps:
            steps.append((x.at(places[trial.number]), steps[-1][1]))
        steps.append((x.at(places[trial.number]), y.at(_speed(trial) or 0.0)))
    return [*steps, (x.end, steps[-1][1])] if steps else []


def _point(place: int, trial: Trial, result: TuneResult, x: chart.Axis, y: chart.Axis, *, whisker: bool) -> list[str]:
    ratio, speed = trial.ratio, _speed(trial)
    assert ratio is not None
    assert speed is not None
    kind = "training" if changes_training(trial) else ""
    if trial.config.settings and trial.config == result.recommendation.config:
        kind = "chosen"
    parts = []
    if whisker and is_number(ratio.low, ratio.high) and ratio.low < ratio.high:
        parts.append(
            chart.line(x.at(place), y.at(ratio.low), x.at(place), y.at(ratio.high), f"whisker thin {kind}".strip())
        )
    parts.append(
        chart.tag(
            "circle", cx=x.at(place), cy=y.at(speed), r=6 if kind == "chosen" else 4, class_=f"dot {kind}".strip()
        )
    )
    return parts


def _description(result: TuneResult, points: Sequence[tuple[int, Trial]], failed: int) -> str:
    best = max((trial for _, trial in points), key=lambda trial: _speed(trial) or 0.0)
    counted = f"{plural(len(result.trials), 'trial')}, {failed:,} without a result"
    return f"{counted}; the fastest, {describe(best.config)}, gave {format.times(_speed(best))}."


def _caption(result: TuneResult, points: Sequence[tuple[int, Trial]], *, failed: int) -> str:
    parts = ["Speed relative to adjacent baseline windows, with 95% intervals."]
    if len(points) > _MOST_WHISKERS:
        parts = ["Speed relative to adjacent baseline windows; intervals are in the table."]
    parts.append("Line: the best so far that does not change training.")
    if any(changes_training(trial) for _, trial in points):
        parts.append("Orange: changes training.")
    if any(trial.config == result.recommendation.config and trial.config.settings for _, trial in points):
        parts.append("Large and green: recommended.")
    if failed:
        kinds = sorted({KIND_WORDS.get(one.outcome.kind, "not measured") for one in result.trials if one.ratio is None})
        parts.append(f"Crosses: without a result ({', '.join(kinds)}).")
    left = len(result.trials) - _MOST_DRAWN
    if left > 0:
        parts.append(f"{plural(left, 'later trial')} not drawn.")
    return " ".join(parts)
