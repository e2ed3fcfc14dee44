"""Tensors that a forward makes longer piece by piece: each `torch.cat` copies all that the one before has copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..loop.frames import Frames, Line
from .addresses import address_of
from .operator_caller import caller_of_operator

if TYPE_CHECKING:
    from torch import Tensor

LEAST_CALLS = 8
"""Times that a tensor grows in one forward, from which it grows in a loop."""


class JoinedTensors:
    """Chains of `cat` in each forward, by the line that calls it; none of it raises."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._chains: dict[int, tuple[int, int, int, int]] = {}
        """Address of the latest result → its elements; calls, nanoseconds and elements of all results of its chain."""
        self._lines: dict[int, Line] = {}
        """Address of the latest result → line of a chain of so many calls."""
        self._spent_ns: dict[Line, int] = {}
        self._calls: dict[Line, int] = {}
        self._moved_bytes: dict[Line, int] = {}

    def saw(self, name: str, args: Any, result: Tensor, spent_ns: int, *, forward: bool) -> None:
        """Note an operator that has just run."""
        if not forward:
            self._chains.clear()
            self._lines.clear()
            return
        if name != "cat":
            return
        parts, made = args[0], address_of(result)
        longest = max(parts, key=lambda part: part.numel(), default=None)
        if longest is None or not made:
            return
        before = address_of(longest)
        size, calls, ns, elements = self._chains.pop(before, (0, 0, 0, 0))
        line = self._lines.pop(before, None)
        if size != longest.numel():  # another tensor lies there since
            calls, ns, elements, line = 0, 0, 0, None
        calls, ns, elements = calls + 1, ns + spent_ns, elements + result.numel()
        self._chains[made] = result.numel(), calls, ns, elements
        if line is None and calls >= LEAST_CALLS:
            line = self._frames.line(caller_of_operator(self._frames))
            self._add(line, ns, elements, result, calls)
        elif line is not None:
            self._add(line, spent_ns, result.numel(), result, calls)
        if line is not None:
            self._lines[made] = line

    def _add(self, line: Line, ns: int, elements: int, result: Tensor, calls: int) -> None:
        self._spent_ns[line] = self._spent_ns.get(line, 0) + ns
        self._calls[line] = max(self._calls.get(line, 0), calls)
        moved = 2 * elements * result.element_size()  # read and written
        self._moved_bytes[line] = self._moved_bytes.get(line, 0) + moved

    def report(self, updates: int) -> dict[str, Any]:
        """Return the field of `types.OperatorUse` that this watch knows."""
        line = max(self._spent_ns, key=lambda each: self._spent_ns[each], default=None)
        if line is None:
            return {"joined": None}
        file, number, function = line
        return {
            "joined": {
                "file": file,
                "line": number,
                "function": function,
                "calls": self._calls[line],
                "seconds_per_update": self._spent_ns[line] / 1e9 / updates,
                "bytes_per_update": self._moved_bytes[line] // updates,
            }
        }
