"""Many small layers that one line calls one after another, though none of them reads another's result."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from ..loop.frames import Frames, Line
from .addresses import address_of, storage_of
from .operator_caller import caller_of_operator

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = {"mm": 1, "addmm": 2, "embedding": 0}
"""Operators of a layer, with the position of its weight."""
LEAST_LAYERS = 16
"""Layers of a line in one forward, from which they are many: experts and heads are often eight."""
SMALL_NS = 50_000
"""Time of a layer's operator up to which calling it is a good part of it: larger ones gain nothing by being stacked."""
MOST_LINES = 8

_Group = tuple[Line, Hashable]
"""Line, and the form of its weights."""


class _Layers:
    """Layers of one form that one line calls."""

    def __init__(self) -> None:
        self.weights: set[int] = set()
        self.most = 0
        """Most different weights in one forward."""
        self.calls = self.ns = 0
        self.in_sequence = False
        """True once one of them has read what another had computed."""


class ParallelLayers:
    """Groups of layers, and which results follow from which group."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._groups: dict[_Group, _Layers] = {}
        self._follows: dict[int, frozenset[_Group]] = {}
        """Storage → groups that its values follow from."""
        self._moment: Hashable = None

    def saw(
        self, name: str, args: Any, inputs: list[Tensor], results: list[Tensor], spent_ns: int, *, moment: Hashable
    ) -> None:
        """Note an operator of the forward that has just run; `moment` changes where another forward begins."""
        if moment != self._moment:
            self._moment = moment
            self.ended()
        place, sources = WEIGHTS.get(name), self._sources(inputs)
        if place is not None and args[place].requires_grad:
            sources = self._layer(name, args[place], sources, spent_ns)
        for each in results:
            if sources:
                self._follows[storage_of(each)] = sources
            else:
                self._follows.pop(storage_of(each), None)

    def _sources(self, inputs: list[Tensor]) -> frozenset[_Group]:
        if not self._follows:
            return frozenset()
        return frozenset().union(*(self._follows.get(storage_of(each), ()) for each in inputs))

    def _layer(self, name: str, weight: Tensor, sources: frozenset[_Group], spent_ns: int) -> frozenset[_Group]:
        line = self._frames.line(caller_of_operator(self._frames))
        # Tables of categories have as many rows as their columns have; their width is the same.
        group = (line, (name, weight.shape[1:] if name == "embedding" else weight.shape))
        layers = self._groups.setdefault(group, _Layers())
        layers.in_sequence = layers.in_sequence or group in sources
        layers.weights.add(address_of(weight))
        layers.most = max(layers.most, len(layers.weights))
        layers.calls += 1
        layers.ns += spent_ns
        return sources | {group}

    def ended(self) -> None:
        """Note that the forward is over."""
        if self._follows:
            self._follows = {}
        for layers in self._groups.values():
            layers.weights.clear()

    def report(self, updates: int) -> dict[str, Any]:
        """Return the field of `types.OperatorUse` that this watch knows."""
        found = [
            (line, layers)
            for (line, _form), layers in self._groups.items()
            if layers.most >= LEAST_LAYERS and not layers.in_sequence and layers.ns <= SMALL_NS * layers.calls
        ]
        found.sort(key=lambda each: -each[1].ns)
        return {
            "parallel": [
                {
                    "file": file,
                    "line": line,
                    "function": function,
                    "layers": layers.most,
                    "calls_per_update": layers.calls / updates,
                    "seconds_per_update": layers.ns / 1e9 / updates,
                }
                for (file, line, function), layers in found[:MOST_LINES]
            ]
        }
