"""The frame that has called an operator, seen from an observer of operators."""

from __future__ import annotations

import os
import sys
from types import FrameType

from ..loop.frames import OWN, Frames

_DISPATCH = (os.path.join("torch", "_ops.py"), os.path.join("torch", "utils", "_python_dispatch.py"))


def caller_of_operator(frames: Frames) -> FrameType | None:
    """Return the innermost frame that is not ours, nor torch's own way to an operator that other modes watch."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _leads_to_operator(frame.f_code.co_filename, frames):
        frame = frame.f_back
    return frame


def _leads_to_operator(file: str, frames: Frames) -> bool:
    return frames.owner(file) == OWN or file.endswith(_DISPATCH)
