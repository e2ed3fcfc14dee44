"""Rows of scores that the loss leaves out: positions without a label, for which the output layer runs all the same."""

from __future__ import annotations

from typing import Any

from ..loop.frames import Frames
from .operator_caller import caller_of_operator
from .time_by_size import LEAST_ELEMENTS, TimeBySize

LOSSES = ("nll_loss_forward", "nll_loss2d_forward")
"""Losses over (scores, labels, weights, reduction, the label that is left out)."""
MOST_LOOKS = 8
"""Labels that are counted in a traced window: on an accelerator, each count waits for it."""


class IgnoredRows:
    """Fraction of the labels that are left out, by the size of the scores."""

    def __init__(self, frames: Frames, time: TimeBySize) -> None:
        self._frames = frames
        self._time = time
        self._fractions: dict[int, list[float]] = {}
        self._sites: dict[int, tuple[str, int, str, int]] = {}
        """Elements of the scores → file, line and function of their loss, and the number of classes."""
        self._left = MOST_LOOKS

    def saw(self, name: str, args: Any, *, forward: bool) -> None:
        """Note an operator that has just run."""
        if not forward or name not in LOSSES or not self._left or len(args) < 5:
            return
        scores, labels, ignored = args[0], args[1], args[4]
        size = scores.numel()
        if size < LEAST_ELEMENTS or not labels.numel():
            return
        self._left -= 1
        self._fractions.setdefault(size, []).append((labels == ignored).float().mean().item())
        if size not in self._sites:
            classes = size // labels.numel()
            self._sites[size] = (*self._frames.line(caller_of_operator(self._frames)), classes)

    def report(self, updates: int) -> dict[str, Any]:
        """Return the field of `types.OperatorUse` that this watch knows."""
        size = max(self._sites, key=self._time.ns, default=None)
        if size is None:
            return {"ignored": None}
        file, line, function, classes = self._sites[size]
        fractions = self._fractions[size]
        return {
            "ignored": {
                "file": file,
                "line": line,
                "function": function,
                "classes": classes,
                "fraction": sum(fractions) / len(fractions),
                **self._time.per_update(size, updates),
            }
        }
