"""Parts shared by the charts: a value for the result, an SVG writer, axes, and honest thinning.

Colours are classes, so that one chart serves light, dark and print; all text is escaped where it enters.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

from .. import format

WIDTH, HEIGHT = 440, 230
MARGIN_RIGHT = 14
LEFT, RIGHT, TOP, BOTTOM = 62, WIDTH - MARGIN_RIGHT, 16, HEIGHT - 40
"""Edges of the area inside the axes; a wide chart has the same margin on the right."""
MOST_POINTS = 300
"""Most points on a line: more are finer than the screen. Whole bins are then drawn as their span and median."""

LEAST, GREATEST = 1e-30, 1e30
"""Bounds of every measured value; the arithmetic of axes would overflow far beyond."""

_serial = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Picture:
    title: str
    svg: str
    caption: str
    wide: bool = False


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A chart that could not be drawn, and the reason."""

    title: str
    why: str


Drawn = Picture | Missing


def tag(name: str, content: str = "", **attributes: object) -> str:
    """Return one element; attribute names with `_` for `-`, numbers rounded to a tenth. `content` is markup already."""
    parts = [name]
    for key, value in attributes.items():
        text = f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
        parts.append(f'{key.rstrip("_").replace("_", "-")}="{escape(text)}"')
    head = " ".join(parts)
    return f"<{head}>{content}</{name}>" if content else f"<{head}/>"


def text(content: str, x: float, y: float, *, anchor: str = "start", class_: str = "label") -> str:
    return tag("text", escape(content), x=float(x), y=float(y), text_anchor=anchor, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    return tag("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=class_)


def rectangle(x: float, y: float, width: float, height: float, class_: str) -> str:
    return tag(
        "rect", x=float(x), y=float(y), width=float(max(0.0, width)), height=float(max(0.0, height)), class_=class_
    )


def path(points: Sequence[tuple[float, float]], class_: str, *, closed: bool = False) -> str:
    steps = "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return tag("path", d=f"M{steps}{'Z' if closed else ''}", class_=class_) if points else ""


def cross(x: float, y: float, class_: str, size: float = 4) -> str:
    """Draw a mark for a trial without a value."""
    strokes = f"M{x - size:.1f},{y - size:.1f}l{2 * size:g},{2 * size:g}m{-2 * size:g},0l{2 * size:g},{-2 * size:g}"
    return tag("path", d=strokes, class_=class_)


def svg(content: Sequence[str], *, title: str, description: str, width: int = WIDTH, height: int = HEIGHT) -> str:
    """Return the whole chart, with a text description for those who do not see it."""
    number = next(_serial)
    title_id, description_id = f"advisor-title-{number}", f"advisor-desc-{number}"
    head = tag("title", escape(title), id=title_id) + tag("desc", escape(description), id=description_id)
    return tag(
        "svg",
        head + "".join(content),
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_labelledby=f"{title_id} {description_id}",
        class_="picture",
    )


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Mapping of values to places on the chart, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False
    ticks: tuple[float, ...] = field(default_factory=tuple)

    def at(self, value: float) -> float:
        low, high, value = (math.log10(v) if self.logarithmic else v for v in (self.low, self.high, value))
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + (self.end - self.start) * min(1.0, max(0.0, share))


def linear(low: float, high: float, start: float, end: float, *, about: int = 5) -> Axis:
    """Return an axis whose ends and ticks are round numbers."""
    span = high - low if high - low >= LEAST else abs(high) if abs(high) >= LEAST else 1.0
    raw = span / about
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    ticks = tuple(step * index for index in range(first, last + 1))
    return Axis(low=ticks[0], high=ticks[-1], start=start, end=end, ticks=ticks)


def decades(low: float, high: float, start: float, end: float) -> Axis:
    """Return a logarithmic axis from decade to decade."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    every = math.ceil((last - first) / 6)
    ticks = tuple(10.0**power for power in range(first, last + 1, every))
    return Axis(low=10.0**first, high=10.0**last, start=start, end=end, logarithmic=True, ticks=ticks)


def bytes_axis(low: float, high: float, start: float, end: float, *, about: int = 5) -> Axis:
    """Return an axis with ticks at round numbers of the unit used at the top."""
    scale, _ = _unit(high)
    axis = linear(low / scale, high / scale, start, end, about=about)
    ticks = tuple(tick * scale for tick in axis.ticks)
    return Axis(low=axis.low * scale, high=axis.high * scale, start=axis.start, end=axis.end, ticks=ticks)


def bytes_tick(value: float, top: float) -> str:
    """Format a tick; all ticks have one unit, so that they can be compared at a glance."""
    scale, name = _unit(top)
    return short(f"{format.number(value / scale)} {name}")


def _unit(top: float) -> tuple[float, str]:
    units = ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))
    return next(((scale, name) for scale, name in units if top >= scale), (1.0, "B"))


def frame(
    x: Axis,
    y: Axis,
    *,
    x_words: Callable[[float], str],
    y_words: Callable[[float], str],
    x_title: str,
) -> list[str]:
    """Draw ticks, fine lines across, and the title of the axis."""
    parts = []
    for tick in y.ticks:
        place = y.at(tick)
        parts.append(line(x.start, place, x.end, place, "grid"))
        parts.append(text(y_words(tick), x.start - 8, place + 4, anchor="end"))
    for index, tick in enumerate(x.ticks):
        anchor = "start" if index == 0 and x.start < LEFT else "middle"
        parts.append(text(x_words(tick), x.at(tick), y.start + 17, anchor=anchor))
    parts.append(line(x.start, y.start, x.end, y.start, "axis"))
    parts.append(text(x_title, (x.start + x.end) / 2, y.start + 34, anchor="middle", class_="title"))
    return parts


def short(label: str) -> str:
    """Drop digits of a tick that say nothing: 50.0 ms is 50 ms, and 0 s is 0."""
    return re.sub(r"^0 .*", "0", re.sub(r"\.0+(?= |$)|(\.\d*?[1-9])0+(?= |$)", r"\1", label))


def finite(values: Sequence[float | None]) -> list[float]:
    """Return the finite values that are not negative: a hostile or broken file may hold others."""
    return [value if value > LEAST else 0.0 for value in values if value is not None and 0 <= value <= GREATEST]


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Neighbouring values drawn as one: their place, and their least, middle and greatest."""

    x: float
    low: float
    middle: float
    high: float


def thinned(points: Sequence[tuple[float, float]], most: int = MOST_POINTS) -> list[Bin]:
    """Return at most `most` bins in order; nothing is dropped, since each bin keeps its extremes."""
    size = max(1, math.ceil(len(points) / most))
    bins = []
    for start in range(0, len(points), size):
        part = points[start : start + size]
        values = sorted(value for _, value in part)
        middle = sum(x for x, _ in part) / len(part)
        bins.append(Bin(x=middle, low=values[0], middle=values[len(values) // 2], high=values[-1]))
    return bins


def band(bins: Sequence[Bin], x: Axis, y: Axis, class_: str) -> str:
    """Draw the span of the bins as an area."""
    upper = [(x.at(one.x), y.at(one.high)) for one in bins]
    lower = [(x.at(one.x), y.at(one.low)) for one in reversed(bins)]
    return path([*upper, *lower], class_, closed=True)


def curve(bins: Sequence[Bin], x: Axis, y: Axis, class_: str) -> str:
    return path([(x.at(one.x), y.at(one.middle)) for one in bins], class_)
