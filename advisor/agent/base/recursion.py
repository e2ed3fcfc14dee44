"""Recursion limit as the script knows it: our frames below its first one do not count."""

from __future__ import annotations

import functools
import operator
import sys
from typing import Any

FRAMES = 2
"""Frames of ours below the first that a plain run has, too: those of the bootstrap and of `runner.start`."""
CALLS_COUNT = sys.version_info < (3, 12)
"""True if a call of `exec` counts like a frame of Python code."""


def hide_frames(*, within_exec: bool) -> None:
    """Raise the limit by our frames, and show and set it in the script without them."""
    ours = FRAMES + (within_exec and CALLS_COUNT)
    real_get, real_set = sys.getrecursionlimit, sys.setrecursionlimit
    real_set(real_get() + ours)

    @functools.wraps(real_get)
    def getrecursionlimit() -> int:
        return real_get() - ours

    @functools.wraps(real_set)
    def setrecursionlimit(limit: Any, /) -> None:
        try:
            number = operator.index(limit)
        except TypeError:
            real_set(limit)  # raises what it raises alone
            return
        real_set(number + ours if number > 0 else number)

    sys.getrecursionlimit, sys.setrecursionlimit = getrecursionlimit, setrecursionlimit
