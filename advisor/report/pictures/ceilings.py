"""Ceiling of each finding, and the gain of settings for it."""

from __future__ import annotations

from ...types import TuneResult
from .. import format
from ..trial_format import gain, is_number
from ..trial_rows import Predicted, predicted
from ._base import Drawn, Missing, Picture
from ._rows import Ratio, ratios

TITLE = "Predicted and achieved"
_MOST_FINDINGS = 8


def draw(result: TuneResult) -> Drawn:
    rows = [row for one in predicted(result)[:_MOST_FINDINGS] for row in _rows(one)]
    if not rows:
        return Missing(title=TITLE, why="no finding predicted a gain")
    description = "; ".join(_describe(one) for one in predicted(result))
    return Picture(
        title=TITLE,
        svg=ratios(rows, title=TITLE, description=description, row_height=30, x_title="times as fast"),
        caption="Ring: the ceiling of the finding, as predicted by the profile. Dot: the gain of the best settings "
        "for it in the search. 95% intervals.",
    )


def _rows(one: Predicted) -> list[Ratio]:
    name = format.one_line(one.finding.rule)
    ceiling, rows = one.finding.ceiling, []
    if ceiling is not None and is_number(ceiling.speedup, ceiling.low, ceiling.high):
        known = ceiling.basis != "share"
        rows.append(
            Ratio(
                name=name,
                value=ceiling.speedup,
                low=ceiling.low,
                high=ceiling.high,
                class_="ceiling",
                whisker=known,
                note="predicted" if known else "at most",
            )
        )
    if one.got is not None:
        got = one.got
        rows.append(Ratio(name="" if rows else name, value=got.speedup, low=got.low, high=got.high, note="got"))
    return rows


def _describe(one: Predicted) -> str:
    got = f"got {gain(one.got)} with {one.by}" if one.got is not None else one.by
    return f"{format.one_line(one.finding.rule)} predicted {one.ceiling}, {got}"
