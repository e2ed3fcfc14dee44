"""Tensors that a forward makes longer piece by piece: each `torch.cat` copies all that the one before has copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..loop.frames import Frames, Line
from .addresses import address_of
from .operator_caller import caller_of_operator

if TYPE_CHECKING:
    from torch import Tensor

LEAST_CALLS = 8
"""Times that a tensor grows in one forward, from which it grows in a loop."""


class _Chain(NamedTuple):
    """Tensor that grew so far."""

    size: int = 0
    """Elements of the latest result."""
    calls: int = 0
    ns: int = 0
    elements: int = 0
    """Time, and elements of the results, of the calls that no line was charged with yet."""
    line: Line | None = None
    """Line that grows it, once it has grown often enough."""


class JoinedTensors:
    """Chains of `cat` in each forward, by the line that calls it; none of it raises."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._chains: dict[int, _Chain] = {}
        """Chains by the address of their latest result."""
        self._spent_ns: dict[Line, int] = {}
        self._calls: dict[Line, int] = {}
        self._moved_bytes: dict[Line, int] = {}

    def saw(self, name: str, args: Any, result: Tensor, spent_ns: int, *, forward: bool) -> None:
        """Note an operator that has just run."""
        if not forward:
            self._chains.clear()
            return
        if name != "cat":
            return
        parts, made = args[0], address_of(result)
        longest = max(parts, key=lambda part: part.numel(), default=None)
        if longest is None or not made:
            return
        chain = self._chains.pop(address_of(longest), _Chain())
        if chain.size != longest.numel():  # another tensor lies there since
            chain = _Chain()
        calls, ns, elements, line = chain.calls + 1, chain.ns + spent_ns, chain.elements + result.numel(), chain.line
        if line is None and calls >= LEAST_CALLS:
            line = self._frames.line(caller_of_operator(self._frames))
        if line is not None:
            self._add(line, ns, elements, result, calls)
            ns = elements = 0
        self._chains[made] = _Chain(result.numel(), calls, ns, elements, line)

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
