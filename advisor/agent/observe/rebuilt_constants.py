"""Tensors that follow from sizes and numbers alone and are built again in each update: masks, tables of positions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..loop.frames import Frames, Line
from .addresses import storage_of
from .operator_caller import caller_of_operator

if TYPE_CHECKING:
    from torch import Tensor

FACTORIES = frozenset({
    "arange", "empty", "eye", "full", "linspace", "logspace", "ones", "scalar_tensor", "tril_indices", "triu_indices",
    "zeros",
})  # fmt: skip
"""Operators that need no tensor."""
LIKE = frozenset(
    {"empty_like", "full_like", "new_empty", "new_full", "new_ones", "new_zeros", "ones_like", "zeros_like"}
)
"""Operators that read no more of their tensor than its form."""
LEAST_UPDATES = 2
"""Updates in which a line must build its tensor: in a single one, it may be the first time."""
MOST_LINES = 8


class _Built:
    """A constant tensor: what it has cost so far, and the buffers that it follows from."""

    def __init__(self, costs: list[tuple[Line, int, int]], sources: frozenset[int]) -> None:
        self.costs = costs
        self.sources = sources


class _Site:
    """Line that builds constants."""

    def __init__(self) -> None:
        self.ns = self.bytes = 0
        self.numbers: dict[int, list[float]] = {}
        """Number of the update → the fractional numbers that its operators took."""
        self.sources: set[int] = set()


class RebuiltConstants:
    """Time in operators of the forward that read no parameter, no batch and no random number.

    Tensors are told apart by their storage. That of a constant counts until something else is seen to be written there,
    and at most until the end of the update: a loader may take it then, whose operators are not seen.
    """

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._buffers: frozenset[int] = frozenset()
        """Storages of the models' buffers, which are constant as long as nobody writes to them."""
        self._changed: set[int] = set()
        """Those of them that somebody did write to."""
        self._built: dict[int, _Built] = {}
        """Storage → the constant in it."""
        self._sites: dict[Line, _Site] = {}
        self._update = -1

    def know(self, buffers: Iterable[Tensor]) -> None:
        """Take these for constants."""
        self._buffers = frozenset(map(storage_of, buffers)) - {0}

    def saw(
        self,
        name: str,
        args: Any,
        inputs: list[Tensor],
        result: Tensor,
        spent_ns: int,
        *,
        forward: bool,
        draws: bool,
        update: int,
    ) -> None:
        """Note an operator that has just run in this update."""
        if update != self._update:
            self._update = update
            self._built.clear()
        place = storage_of(result)
        storages = [storage_of(each) for each in inputs]
        writes = place in storages and name.endswith("_")
        if writes and place in self._buffers:
            self._changed.add(place)
        if draws or not forward or not self._is_constant(name, inputs, storages, result):
            replaced = self._built.pop(place, None)
            if writes and replaced is not None:  # it was the room for something else
                self._take_back(replaced)
            return
        earlier = self._built.get(place) if writes else None
        caller = caller_of_operator(self._frames)
        if self._frames.library_line(caller):  # whoever reads the report cannot change it
            self._built[place] = _Built(earlier.costs if earlier else [], self._sources(storages))
            return
        line = self._frames.line(caller)
        moved = sum(each.numel() * each.element_size() for each in (result, *(() if name in LIKE else inputs)))
        sources = self._sources(storages)
        self._built[place] = _Built([*(earlier.costs if earlier else ()), (line, spent_ns, moved)], sources)
        site = self._sites.setdefault(line, _Site())
        site.ns += spent_ns
        site.bytes += moved
        site.sources |= sources
        site.numbers.setdefault(update, []).extend(_fractions(args))

    def _is_constant(self, name: str, inputs: list[Tensor], storages: list[int], result: Tensor) -> bool:
        if name in LIKE:
            return not result.requires_grad
        if not inputs:
            return name in FACTORIES and not result.requires_grad
        known = all(each in self._built or (each in self._buffers and each not in self._changed) for each in storages)
        return known and not any(each.requires_grad for each in inputs)

    def _sources(self, storages: list[int]) -> frozenset[int]:
        found = {each for each in storages if each in self._buffers}
        return frozenset(found.union(*(self._built[each].sources for each in storages if each in self._built)))

    def _take_back(self, built: _Built) -> None:
        for line, spent_ns, moved in built.costs:
            self._sites[line].ns -= spent_ns
            self._sites[line].bytes -= moved

    def report(self, updates: int) -> dict[str, Any]:
        """Return the field of `types.OperatorUse` that this watch knows."""
        kept = [(line, site) for line, site in self._sites.items() if self._repeats(site, updates)]
        kept.sort(key=lambda each: -each[1].ns)
        return {
            "rebuilt": [
                {
                    "file": file,
                    "line": line,
                    "function": function,
                    "seconds_per_update": site.ns / 1e9 / updates,
                    "bytes_per_update": site.bytes // updates,
                }
                for (file, line, function), site in kept[:MOST_LINES]
            ]
        }

    def _repeats(self, site: _Site, updates: int) -> bool:
        """Return whether a line builds the same in each update; sizes may differ, as those of padded batches do."""
        every = updates >= LEAST_UPDATES and len(site.numbers) >= updates
        alike = len({frozenset(numbers) for numbers in site.numbers.values()}) == 1
        return every and alike and not site.sources & self._changed and site.ns > 0


def _fractions(value: Any) -> list[float]:
    return [item for item in value if isinstance(item, float)]
