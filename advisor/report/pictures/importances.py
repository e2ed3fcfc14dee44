"""Knobs by their share of the spread between trials."""

from __future__ import annotations

from ...plural import plural
from ...types import TuneResult
from .. import format
from ..trial_rows import importances
from ._base import Drawn, Missing, Picture
from ._rows import shares

TITLE = "Which knobs matter"
_MOST_KNOBS = 10


def draw(result: TuneResult) -> Drawn:
    found = importances(result)
    if not found:
        return Missing(title=TITLE, why="too few trials were measured")
    description = ", ".join(f"{name} {format.percent(share)}" for name, share in found)
    left = len(found) - _MOST_KNOBS
    return Picture(
        title=TITLE,
        svg=shares(found[:_MOST_KNOBS], title=TITLE, description=description),
        caption="Share of the variation between the trials' speeds that each knob explains."
        + (f" {plural(left, 'more knob')} not drawn." if left > 0 else ""),
    )
