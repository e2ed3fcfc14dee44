"""The update as one bar, divided by phase; its numbers stand in the table below it."""

from __future__ import annotations

import math

from ...types import PHASES, Profile
from .. import format
from ._base import Drawn, Missing, Picture, rectangle, svg

TITLE = "One update, by phase"
_WIDTH, _HEIGHT, _GAP = 1000, 26, 2.0


def draw(profile: Profile) -> Drawn:
    shares = {name: profile.phases.get(name, 0.0) for name in PHASES}
    shares = {name: share for name, share in shares.items() if math.isfinite(share) and share > 0}
    whole = sum(shares.values())
    if not whole:
        return Missing(title=TITLE, why="no update was measured")
    parts, left = [], 0.0
    for name, share in shares.items():
        width = share / whole * _WIDTH
        parts.append(rectangle(left, 0, max(width - _GAP, 1.0), _HEIGHT, f"phase-{name}"))
        left += width
    description = ", ".join(f"{format.phase_name(name)} {format.percent(share)}" for name, share in shares.items())
    strip = svg(parts, title=TITLE, description=description, width=_WIDTH, height=_HEIGHT)
    return Picture(
        title=TITLE, svg=strip.replace("<svg ", '<svg preserveAspectRatio="none" ', 1), caption="", wide=True
    )
