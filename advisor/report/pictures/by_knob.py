"""Gain of each recommended setting: all settings against all but this one."""

from __future__ import annotations

from ...types import TuneResult
from .. import format
from ..trial_format import gain
from ..trial_rows import gains
from ._base import Drawn, Missing, Picture
from ._rows import Ratio, ratios

TITLE = "Gain of each setting"


def draw(result: TuneResult) -> Drawn:
    found = gains(result)
    if not found:
        return Missing(title=TITLE, why=_why_not(result))
    verdict = result.recommendation.verdict
    rows = [Ratio(name=one.setting, value=one.ratio.speedup, low=one.ratio.low, high=one.ratio.high) for one in found]
    described = "; ".join(f"{one.setting} {gain(one.ratio)}" for one in found)
    return Picture(
        title=TITLE,
        svg=ratios(rows, title=TITLE, description=described, x_title="times as fast as without it"),
        caption="Each setting is removed from the recommended ones in turn, in adjacent windows; 95% intervals. "
        f"Together they give {format.times(verdict.speedup)}.",
    )


def _why_not(result: TuneResult) -> str:
    settings = result.recommendation.config.settings
    if not settings:
        return "nothing is recommended"
    return "the single recommended setting gives the whole gain" if len(settings) == 1 else "it was not measured"
