"""One picture a file, each drawn as inline SVG; `ALL` is the order on the page."""

from __future__ import annotations

from . import memory, phases, roofline, steps, usage, what_ifs
from ._base import Drawn, Missing, Picture

__all__ = ["ALL", "Drawn", "Missing", "Picture", "phases"]

ALL = (steps.draw, memory.draw, usage.draw, roofline.draw, what_ifs.draw)
