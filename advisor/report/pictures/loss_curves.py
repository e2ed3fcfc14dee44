"""Losses of two versions of a training, seed by seed, against time, updates or samples; with the target."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from ...types import LearningResult, LossCurve
from . import _base as chart
from ._base import Drawn, Missing, Picture

Against = Literal["time", "updates", "samples"]
WIDE_RANGE = 20.0
"""Highest over lowest loss from which the axis is logarithmic."""
_X_TITLES = {"time": "seconds since the first update", "updates": "updates", "samples": "samples"}


def draw_time(result: LearningResult) -> Drawn:
    return _draw(result, "time")


def draw_updates(result: LearningResult) -> Drawn:
    return _draw(result, "updates")


def draw_samples(result: LearningResult) -> Drawn:
    return _draw(result, "samples")


def _draw(result: LearningResult, against: Against) -> Drawn:
    title = f"Loss against {against}"
    before = [_points(pair.baseline, against) for pair in result.verdict.pairs]
    after = [_points(pair.candidate, against) for pair in result.verdict.pairs]
    source = "one line for each seed of the verification"
    if not any(before):
        before, after = [_points(result.baseline, against)], _of_the_best(result, against)
        source = "one seed: the search's trainings over the whole horizon"
    points = [point for line in (*before, *after) for point in line]
    if not any(len(line) > 1 for line in before):
        return Missing(title=title, why="no curve was recorded" if against != "samples" else "samples were not counted")
    x = chart.linear(0, max(at for at, _loss in points), chart.LEFT, chart.RIGHT)
    y, tick = _loss_axis([loss for _at, loss in points])
    parts = chart.frame(x, y, x_words=lambda at: f"{at:g}", y_words=tick, x_title=_X_TITLES[against])
    if result.target is not None and result.objective == "time_to_loss":
        parts.append(chart.line(x.start, y.at(result.target), x.end, y.at(result.target), "limit"))
        parts.append(chart.text("target", x.end, y.at(result.target) - 5, anchor="end"))
    parts += [chart.curve(chart.thinned(line), x, y, "curve roof") for line in before if line]
    parts += [chart.curve(chart.thinned(line), x, y, "curve best") for line in after if line]
    caption = f"Grey: the baseline. Green: with the settings. {result.loss.capitalize()}, {source}."
    return Picture(title=title, svg=chart.svg(parts, title=title, description=caption), caption=caption)


def _of_the_best(result: LearningResult, against: Against) -> list[list[tuple[float, float]]]:
    """Return the curve of the best candidate over the longest horizon it was trained for."""
    if not result.best:
        return []
    found = [trial for trial in result.trials if dict(trial.settings) == dict(result.best)]
    return [_points(found[-1].curve, against)] if found else []


def _points(curve: LossCurve | None, against: Against) -> list[tuple[float, float]]:
    if curve is None:
        return []
    xs: Sequence[float] = {"time": curve.seconds, "updates": curve.updates, "samples": curve.samples or ()}[against]
    pairs = zip(xs, curve.losses, strict=False)
    return [(float(at), loss) for at, loss in pairs if loss is not None and abs(loss) < chart.GREATEST]


def _loss_axis(losses: Sequence[float]) -> tuple[chart.Axis, Callable[[float], str]]:
    low, high = min(losses), max(losses)
    if low > chart.LEAST and high > WIDE_RANGE * low:
        return chart.decades(low, high, chart.BOTTOM, chart.TOP), lambda tick: f"{tick:g}"
    axis = chart.linear(low, high, chart.BOTTOM, chart.TOP)
    digits = max(0, 1 - math.floor(math.log10(max(axis.high - axis.low, chart.LEAST))))
    return axis, lambda tick: f"{tick:.{min(digits, 6)}f}"
