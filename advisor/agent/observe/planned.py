"""Length of the whole training, by the loops around the optimizer's step."""

from __future__ import annotations

import os
from collections.abc import Iterable
from types import FrameType
from typing import Any, Optional

from ..loop.enclosing import Loop, count_of, enclosing_loops, is_loader, limit_of

Planned = tuple[Optional[int], Optional[int]]
"""Updates and epochs."""

_UPDATES = (
    (os.path.join("transformers", "trainer"), ("state", "max_steps")),
    (os.path.join("pytorch", "loops", "training_epoch_loop"), ("max_steps",)),
)
"""Files of library loops, with the attribute of their `self` that holds the number of updates."""
_EPOCHS = ((os.path.join("pytorch", "loops", "fit_loop"), ("max_epochs",)),)
"""The same for the number of epochs."""


def planned(
    frame: FrameType | None, updates_per_epoch: float | None, micro_steps: int
) -> tuple[int | None, int | None]:
    """Return the updates and the epochs of the whole training; None for what the loops do not say.

    `frame` is a frame inside the optimizer's step; `updates_per_epoch` those of one pass over the training's loader.
    """
    updates, epochs = _by_library(frame, _UPDATES), _by_library(frame, _EPOCHS)
    if updates is not None:
        return updates, None
    if epochs is not None:
        return _rounded(epochs * updates_per_epoch if updates_per_epoch is not None else None), epochs
    return _by_loops(enclosing_loops(frame), updates_per_epoch, micro_steps)


def _by_loops(loops: list[Loop], updates_per_epoch: float | None, micro_steps: int) -> Planned:
    total: float | None = None
    epochs: int | None = None
    for loop in loops:
        if loop.is_while:
            limit = limit_of(loop)
            total = float(limit) if limit is not None else None  # a counter of updates, whatever is inside
            return _rounded(total), None
        count = count_of(loop)
        if count is None:
            break  # a loop over trainings, or one whose text says nothing
        if is_loader(count):
            limit = limit_of(loop)
            once = updates_per_epoch
            if limit is not None:
                once = min(float(limit), once) if once is not None else float(limit)
            if once is None:
                return None, None
            total = once if total is None else total * once
        elif total is None:
            total = count / micro_steps if loop.conditional else float(count)
        else:
            total, epochs = total * count, count
    return _rounded(total), epochs


def _by_library(frame: FrameType | None, places: Iterable[tuple[str, tuple[str, ...]]]) -> int | None:
    while frame is not None:
        for piece, path in places:
            if piece in frame.f_code.co_filename:
                value: Any = frame.f_locals.get("self")
                for name in path:
                    value = getattr(value, "__dict__", {}).get(name)
                if isinstance(value, int) and value > 0:
                    return value
        frame = frame.f_back
    return None


def _rounded(total: float | None) -> int | None:
    return None if total is None or total < 1 else round(total)
