"""Features that are enlarged before a 1×1 convolution narrows them: both are linear, and commute."""

from __future__ import annotations

import math
from typing import Any

from ..loop.frames import Frames
from .addresses import address_of
from .operator_caller import caller_of_operator
from .time_by_size import LEAST_ELEMENTS, TimeBySize

ENLARGES = "upsample_"
"""Beginning of the names of the operators that enlarge."""
CONVOLUTION = "convolution"
LEAST_SCALE = 2.0
"""Elements after enlarging for each one before."""


class EarlyUpsampling:
    """Enlarged tensors that a 1×1 convolution reads next."""

    def __init__(self, frames: Frames, time: TimeBySize) -> None:
        self._frames = frames
        self._time = time
        self._enlarged: dict[int, tuple[int, float]] = {}
        """Address of an enlarged tensor → its elements, and how often those before."""
        self._sites: dict[int, tuple[str, int, str, int, int, float]] = {}
        """Elements → file, line and function of the convolution, channels before and after it, and the scale."""

    def saw(self, name: str, args: Any, result: Any, *, forward: bool) -> None:
        """Note an operator that has just run."""
        if not forward:
            self._enlarged.clear()
            return
        if name.startswith(ENLARGES):
            before, after = args[0].numel(), result.numel()
            if after >= max(LEAST_SCALE * before, LEAST_ELEMENTS):
                self._enlarged[address_of(result)] = (after, after / before)
            return
        found = self._enlarged.pop(address_of(args[0]), None) if name == CONVOLUTION else None
        if found is None or args[0].numel() != found[0]:
            return
        weight, transposed, groups = args[1], args[6], args[8]
        if math.prod(weight.shape[2:]) == 1 and not transposed and groups == 1 and result.numel() < args[0].numel():
            line = self._frames.line(caller_of_operator(self._frames))
            self._sites[found[0]] = (*line, weight.shape[1], weight.shape[0], found[1])

    def report(self, updates: int) -> dict[str, Any]:
        """Return the field of `types.OperatorUse` that this watch knows."""
        size = max(self._sites, key=self._time.ns, default=None)
        if size is None:
            return {"enlarged": None}
        file, line, function, before, after, scale = self._sites[size]
        return {
            "enlarged": {
                "file": file,
                "line": line,
                "function": function,
                "channels": before,
                "channels_after": after,
                "scale": scale,
                **self._time.per_update(size, updates),
            }
        }
