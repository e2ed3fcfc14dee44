"""What the loop would gain if one cost were gone: measured, with intervals, against 1× for no gain."""

from __future__ import annotations

from ...types import Profile
from .. import words
from ._base import (
    MARGIN_RIGHT,
    WIDTH,
    Drawn,
    Missing,
    Picture,
    finite,
    frame,
    line,
    linear,
    svg,
    tag,
    text,
)

TITLE = "What if"
_LEFT, _TOP, _ROW = 142, 22, 40
_MOST = 100.0
"""A speed-up beyond this is off the axis; the number beside the dot still tells it."""


def draw(profile: Profile) -> Drawn:
    shown = [one for one in profile.what_ifs if len(finite([one.speedup, one.low, one.high])) == 3]
    if not shown:
        return Missing(title=TITLE, why="no what-if was measured")
    bottom = _TOP + _ROW * len(shown)
    low = min(0.9, *(one.low for one in shown))
    high = max(1.1, *(min(one.high, _MOST) for one in shown))
    x = linear(low, high, _LEFT, WIDTH - MARGIN_RIGHT - 40)
    y = linear(0, 1, bottom, _TOP)
    parts = frame(
        x,
        type(y)(low=0, high=1, start=bottom, end=_TOP),
        x_words=lambda tick: f"{tick:g}×",
        y_words=str,
        x_title="times as fast",
    )
    parts.append(line(x.at(1.0), _TOP - 6, x.at(1.0), bottom, "limit"))
    for index, one in enumerate(shown):
        middle = _TOP + _ROW * (index + 0.5)
        parts += [
            text(words.what_if_name(one.name), _LEFT - 12, middle + 4, anchor="end"),
            line(x.at(one.low), middle, x.at(one.high), middle, "whisker"),
            line(x.at(one.low), middle - 5, x.at(one.low), middle + 5, "whisker"),
            line(x.at(one.high), middle - 5, x.at(one.high), middle + 5, "whisker"),
            tag("circle", cx=x.at(one.speedup), cy=middle, r=5, class_="dot"),
            text(words.times(one.speedup), x.at(one.high) + 10, middle + 4, class_="value"),
        ]
    told = "; ".join(f"{words.what_if_name(one.name)} {words.what_if_text(one)}" for one in shown)
    notes = " ".join(
        f"{words.what_if_name(one.name).capitalize()}: {words.one_line(one.note)}." for one in shown if one.note
    )
    return Picture(
        title=TITLE,
        svg=svg(parts, title=TITLE, description=told, height=bottom + 42),
        caption=f"Measured in windows next to windows of the script as written; 95% intervals. {notes}".strip(),
    )
