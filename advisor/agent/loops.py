"""What kind of loop the script reads its loader in."""

from __future__ import annotations

import dis
import os
from types import FrameType

from .loader_record import is_library

READS_AHEAD = os.path.join("accelerate", "data_loader.py")
"""Its loaders fetch a batch more than they have given out, to know which is the last."""
GENERATOR = 0x20
"""Of a code object's flags."""
FOR_LOOPS = {dis.opmap[name] for name in ("FOR_ITER", "YIELD_FROM", "SEND") if name in dis.opmap}


def reads_to_the_end(frame: FrameType | None) -> bool:
    """Whether the script's own `for` asks for this batch, and so goes on until the loader ends.

    False where the script asks by `next`, or a library does that counts its batches: those stop after a number of
    batches, however small they are. `frame` is any one inside the call; the user's generators around a loader must be
    read by a `for` themselves.
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
    """Batches that are fetched before the one that is trained on."""
    while frame is not None:
        if frame.f_code.co_filename.endswith(READS_AHEAD):
            return 1
        frame = frame.f_back
    return 0
