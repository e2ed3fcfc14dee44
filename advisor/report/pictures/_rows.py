"""Named rows: ratios with their intervals against 1× for no gain, or bars of shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .. import format
from ._base import RIGHT, Axis, frame, line, linear, rectangle, svg, tag, text

_TOP = 22
_LETTER = 7.4
"""Width of a label's letter: no browser font is wider on average."""
_NARROWEST, _WIDEST = 80, 196
_VALUE_WIDTH = 44
"""Room for the number behind an interval."""
_BAR_HEIGHT = 30
_MOST = 100.0
"""Largest speed-up on the axis; the number beside the dot still shows any beyond it."""


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """One row; without a name it belongs to the row above."""

    name: str
    value: float
    low: float
    high: float
    class_: str = ""
    whisker: bool = True
    note: str = ""
    """Text after the number."""


def ratios(rows: Sequence[Ratio], *, title: str, description: str, row_height: int = 40, x_title: str) -> str:
    """Draw `rows`, whose numbers are finite and above zero."""
    left = _left([row.name for row in rows])
    bottom = _TOP + row_height * len(rows)
    low = min(0.9, *(row.low for row in rows))
    high = max(1.1, *(min(row.high, _MOST) for row in rows))
    note_width = max((len(row.note) for row in rows), default=0) * _LETTER
    x = linear(low, high, left, RIGHT - _VALUE_WIDTH - note_width)
    y = Axis(low=0, high=1, start=bottom, end=_TOP)
    parts = frame(x, y, x_words=lambda tick: f"{tick:g}×", y_words=str, x_title=x_title)
    parts.append(line(x.at(1.0), _TOP - 6, x.at(1.0), bottom, "limit"))
    for index, row in enumerate(rows):
        middle = _TOP + row_height * (index + 0.5)
        parts += _interval(row, x, middle)
        parts += [
            text(_cut(row.name, left), left - 12, middle + 4, anchor="end"),
            text(format.times(row.value), _end(row, x) + 10, middle + 4, class_="value"),
        ]
        if row.note:
            width = len(format.times(row.value)) * 7.5
            parts.append(text(row.note, _end(row, x) + 14 + width, middle + 4))
    return svg(parts, title=title, description=description, height=bottom + 42)


def _interval(row: Ratio, x: Axis, middle: float) -> list[str]:
    dot = tag("circle", cx=x.at(row.value), cy=middle, r=5, class_=f"dot {row.class_}".strip())
    if not row.whisker:
        return [dot]
    kind = f"whisker {row.class_}".strip()
    ends = [line(x.at(end), middle - 5, x.at(end), middle + 5, kind) for end in (row.low, row.high)]
    return [line(x.at(row.low), middle, x.at(row.high), middle, kind), *ends, dot]


def _end(row: Ratio, x: Axis) -> float:
    return x.at(row.high if row.whisker else row.value)


def shares(rows: Sequence[tuple[str, float]], *, title: str, description: str) -> str:
    """Draw bars for names with shares between 0 and 1."""
    left = _left([name for name, _ in rows])
    bottom = _TOP + _BAR_HEIGHT * len(rows)
    x = linear(0, max(0.1, *(share for _, share in rows)), left, RIGHT - _VALUE_WIDTH)
    parts = [line(left, _TOP - 6, left, bottom, "axis")]
    for index, (name, share) in enumerate(rows):
        middle = _TOP + _BAR_HEIGHT * (index + 0.5)
        parts += [
            text(_cut(name, left), left - 12, middle + 4, anchor="end"),
            rectangle(left, middle - 8, x.at(share) - left, 16, "bar"),
            text(format.percent(share), x.at(share) + 8, middle + 4, class_="value"),
        ]
    return svg(parts, title=title, description=description, height=bottom + 12)


def _left(names: Sequence[str]) -> float:
    return min(_WIDEST, max(_NARROWEST, 16 + _LETTER * max(len(name) for name in names)))


def _cut(name: str, left: float) -> str:
    most_letters = int((left - 12) / _LETTER)
    return name if len(name) <= most_letters else f"{name[: most_letters - 1]}…"
