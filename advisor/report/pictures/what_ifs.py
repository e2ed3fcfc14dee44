"""Gain of the loop if one cost were gone: measured, with intervals, against 1× for no gain."""

from __future__ import annotations

from ...types import Profile
from .. import format
from ._base import Drawn, Missing, Picture, finite
from ._rows import Ratio, ratios

TITLE = "What if"


def draw(profile: Profile) -> Drawn:
    shown = [one for one in format.speed_ups(profile.what_ifs) if len(finite([one.speedup, one.low, one.high])) == 3]
    if not shown:
        return Missing(title=TITLE, why="no what-if was measured")
    description = "; ".join(f"{format.what_if_name(one.name)}: {format.what_if_text(one)}" for one in shown)
    notes = " ".join(
        f"{format.what_if_name(one.name).capitalize()}: {format.one_line(one.note)}." for one in shown if one.note
    )
    rows = [Ratio(name=format.what_if_name(one.name), value=one.speedup, low=one.low, high=one.high) for one in shown]
    return Picture(
        title=TITLE,
        svg=ratios(rows, title=TITLE, description=description, x_title="times as fast"),
        caption=f"Measured in windows adjacent to baseline windows; 95% intervals. {notes}".strip(),
    )
