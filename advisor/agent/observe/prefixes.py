"""Products with one weight on longer and longer inputs: a model that is called on each prefix of a sequence."""

from __future__ import annotations

from typing import Any

from ..loop.frames import Frames, Line
from .addresses import address_of
from .operator_caller import caller_of_operator

PRODUCTS = {"mm": 0, "addmm": 1}
"""Products of a layer, with the position of their input; its weight follows."""
LEAST_CALLS = 6
"""Calls of a layer in a forward from which their sizes are no accident."""
LONGEST_ROW = 4096
"""Calls of a layer that are looked at in one forward."""


class Prefixes:
    """Inputs of each layer within a forward, and the line of the layer that takes most time; none of it raises."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._calls: dict[int, list[tuple[int, int]]] = {}
        """Address of a weight → rows and nanoseconds of its products in the present forward."""
        self._lines: dict[int, Line] = {}
        self._products_ns = self._growing_ns = 0
        self._saved_ns = 0.0
        self._longest = 0
        self._line: Line | None = None

    def saw(self, name: str, args: Any, spent_ns: int, *, forward: bool) -> None:
        """Note an operator that has just run."""
        if not forward:
            if self._calls:
                self._end()
            return
        place = PRODUCTS.get(name)
        if place is None:
            return
        rows, weight = args[place].shape[0], address_of(args[place + 1])
        self._products_ns += spent_ns
        calls = self._calls.setdefault(weight, [])
        if len(calls) < LONGEST_ROW:
            calls.append((rows, spent_ns))
        if len(calls) == LEAST_CALLS and weight not in self._lines and grows([r for r, _ns in calls]):
            self._lines[weight] = self._frames.line(caller_of_operator(self._frames))

    def _end(self) -> None:
        """Judge the forward that has ended."""
        most_ns = 0
        for weight, calls in self._calls.items():
            rows = [each for each, _ns in calls]
            if weight not in self._lines or not grows(rows):
                continue
            spent_ns = sum(ns for _rows, ns in calls)
            self._growing_ns += spent_ns
            self._saved_ns += spent_ns * (1 - rows[-1] / sum(rows))
            if spent_ns > most_ns:
                most_ns, self._line, self._longest = spent_ns, self._lines[weight], len(rows)
        self._calls.clear()
        self._lines.clear()

    def report(self) -> dict[str, Any]:
        """Return the field of `types.OperatorUse` that this watch knows."""
        if self._line is None or not self._products_ns:
            return {"prefixes": None}
        file, line, function = self._line
        return {
            "prefixes": {
                "file": file,
                "line": line,
                "function": function,
                "calls": self._longest,
                "fraction": self._growing_ns / self._products_ns,
                "saved_fraction": self._saved_ns / self._products_ns,
            }
        }


def grows(rows: list[int]) -> bool:
    """Return whether each input is longer than the one before, by the same number of rows."""
    steps = {after - before for before, after in zip(rows, rows[1:])}
    return len(rows) >= LEAST_CALLS and len(steps) == 1 and steps.pop() > 0
