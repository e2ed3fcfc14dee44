"""Convolutions that slide one long filter over each channel by itself: their work grows with the filter's length."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..loop.frames import Frames
from .addresses import address_of
from .operator_caller import caller_of_operator

if TYPE_CHECKING:
    from torch import Tensor

FORWARD, BACKWARD = "convolution", "convolution_backward"
LEAST_TAPS = 64
"""Elements of a filter below which sliding it costs less than two Fourier transforms."""


class LongFilters:
    """Time in such convolutions on the CPU, forward and backward, by their filters."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._sites: dict[int, tuple[str, int, str, int, int]] = {}
        """Address of the filters → file, line and function, taps of a filter, and length of the input."""
        self._ns: dict[int, int] = {}

    def saw(self, name: str, args: Any, spent_ns: int) -> None:
        """Note an operator that has just run."""
        if name == FORWARD:
            self._look(args)
        elif name != BACKWARD:
            return
        filters = address_of(args[1 if name == FORWARD else 2])
        if filters in self._sites:
            self._ns[filters] = self._ns.get(filters, 0) + spent_ns

    def _look(self, args: Any) -> None:
        inputs, weight = args[0], args[1]
        taps = math.prod(weight.shape[2:])
        if taps < LEAST_TAPS or address_of(weight) in self._sites or not _slides(inputs, weight, args):
            return
        line = self._frames.line(caller_of_operator(self._frames))
        self._sites[address_of(weight)] = (*line, taps, math.prod(inputs.shape[2:]))

    def report(self, updates: int) -> dict[str, Any]:
        """Return the field of `types.OperatorUse` that this watch knows."""
        filters = max(self._ns, key=lambda each: self._ns[each], default=None)
        if filters is None:
            return {"filters": None}
        file, line, function, taps, length = self._sites[filters]
        of_line = [each for each, site in self._sites.items() if site[:2] == (file, line)]
        return {
            "filters": {
                "file": file,
                "line": line,
                "function": function,
                "taps": taps,
                "length": length,
                "seconds_per_update": sum(self._ns.get(each, 0) for each in of_line) / 1e9 / updates,
            }
        }


def _slides(inputs: Tensor, weight: Tensor, args: Any) -> bool:
    """Return whether each channel has a filter of its own, which stops at each element."""
    stride, dilation, transposed, groups = args[3], args[5], args[6], args[8]
    alone = weight.shape[1] == 1 and groups == inputs.shape[1] > 1
    return alone and not transposed and set(stride) == {1} and set(dilation) == {1}
