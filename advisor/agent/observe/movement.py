"""Size of an update relative to the parameters, measured now and then between updates."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..settings.gradients import parameters_of

if TYPE_CHECKING:
    from torch.optim import Optimizer

MOST_TENSORS = 32
MOST_ELEMENTS = 4096
"""Elements looked at in each tensor; copying them takes a few microseconds."""
LEAST_ELEMENTS = 64
"""Elements below which a tensor is a bias or a scale, which often begins at zero."""
MOST_MEASURED = 12


class Movement:
    """Copies of parts of the parameters after one update, compared with those after the next."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, Any]] = []
        self._at = -1
        self._measured: list[list[Any]] = []
        """Pairs (|Δw|², |w|²) of every tensor, on their device."""

    def update_ended(self, updates: int, optimizers: Iterable[Optimizer]) -> None:
        """Compare with the copies if they are one update old, or take some; never raise."""
        try:
            if self._before and self._at == updates - 1:
                self._measured.append([_squares(part, copy) for part, copy in self._before])
                self._before = []
            elif len(self._measured) < MOST_MEASURED:
                self._before = [(part, part.clone()) for part in _parts(optimizers)]
                self._at = updates
        except Exception:  # tensors of a class of its own may lack what is asked of them
            self._before = []

    def forget(self) -> None:
        """Drop the copies, as a setting will change the next update."""
        self._before = []

    def facts(self) -> dict[str, Any]:
        """Return the fields of `types.LearningFacts`, between updates: the values are read here."""
        self._measured = [[[float(changed), float(size)] for changed, size in measured] for measured in self._measured]
        ratios = [
            [(changed / size) ** 0.5 for changed, size in measured if size > 0 and math.isfinite(changed)]
            for measured in self._measured
        ]
        return {"moved": [statistics.median(each) for each in ratios if each]}


def _parts(optimizers: Iterable[Optimizer]) -> list[Any]:
    """Return views of the parameters' first elements, of tensors evenly spread over the optimizers."""
    found = [
        each
        for optimizer in optimizers
        for each in parameters_of(optimizer)
        if each.requires_grad and each.is_floating_point() and each.numel() >= LEAST_ELEMENTS and each.is_contiguous()
    ]
    step = max(1, -(-len(found) // MOST_TENSORS))
    return [each.detach().view(-1)[:MOST_ELEMENTS] for each in found[::step]]


def _squares(now: Any, before: Any) -> tuple[Any, Any]:
    return (now - before).float().square().sum(), now.float().square().sum()
