"""Kind of loop in which the script reads its loader."""

from __future__ import annotations

import dis
import os
from types import FrameType

from .record import is_library

READS_AHEAD = os.path.join("accelerate", "data_loader.py")
"""File whose loaders fetch one batch more than they have delivered, to know which is the last."""
GENERATOR = 0x20
"""Flag of a code object."""
FOR_LOOPS = {dis.opmap[name] for name in ("FOR_ITER", "YIELD_FROM", "SEND") if name in dis.opmap}


def reads_to_the_end(frame: FrameType | None) -> bool:
    """Return whether the script's own `for` requests this batch, and thus continues until the loader ends.

    False if the script calls `next`, or if a library that counts its batches does: those stop after a number of
    batches, however small they are. `frame` is any frame inside the call. The user's generators around a loader must
    be read by a `for` themselves.
    """
    while frame is not None:
        if not is_library(frame.f_code.co_filename):
            if frame.f_code.co_code[frame.f_lasti] not in FOR_LOOPS:
                return False
            if not frame.f_code.co_flags & GENERATOR:
                return True
        frame = frame.f_back
    return False


def read_ahead(frame: FrameType | None) -> int:
    """Return the number of batches fetched ahead of the one trained on."""
    while frame is not None:
        if frame.f_code.co_filename.endswith(READS_AHEAD):
            return 1
        frame = frame.f_back
    return 0
