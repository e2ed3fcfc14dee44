"""Learning rates that a script's parameter groups began with, and the schedulers it makes, noted as they are made.

A script that writes its rates by hand has often done so before its first update; what the optimizer was made with is
then the peak that its rates are fractions of.
"""

from __future__ import annotations

import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Callable

from ..base.nothing import nothing
from ..base.pass_through import stands_for
from ..base.patches import Patches
from .rate_values import number

if TYPE_CHECKING:
    from torch.optim import Optimizer

MOST_SCHEDULERS = 64
"""Schedulers noted at most: nobody may ask for them."""


class FirstRates:
    """Notes of the rates of each optimizer, by the place of the group; nothing is patched before `install`."""

    def __init__(self) -> None:
        self._patches = Patches()
        self._made: weakref.WeakKeyDictionary[Any, list[float | None]] = weakref.WeakKeyDictionary()
        self._loaded: weakref.WeakKeyDictionary[Any, list[float | None]] = weakref.WeakKeyDictionary()
        self.new_schedulers: deque[weakref.ref[Any]] = deque(maxlen=MOST_SCHEDULERS)
        """Schedulers made since this was last emptied."""
        self.on_group: Callable[[Any, bool], None] = nothing
        """Callback (optimizer, whether the rate was given) after a group was added to an optimizer."""

    def install(self) -> None:
        """Patch torch right after it was imported."""
        import torch

        self._patches.replace(torch.optim.Optimizer, "add_param_group", self._adding)
        self._patches.replace(torch.optim.Optimizer, "load_state_dict", self._loading)
        for name in ("LRScheduler", "ReduceLROnPlateau"):
            cls = getattr(torch.optim.lr_scheduler, name, None)
            if cls is not None and "__init__" in vars(cls):
                self._patches.replace(cls, "__init__", self._scheduling)

    def remove(self) -> None:
        self._patches.restore()

    def of(self, optimizer: Optimizer, place: int) -> float | None:
        """Return the rate that the group began with; None if nobody saw.

        A loaded checkpoint begins again, unless the script has written its rates since: these are fractions of the
        rate that the optimizer was made with.
        """
        made = _at(self._made.get(optimizer), place)
        loaded = _at(self._loaded.get(optimizer), place)
        unwritten = loaded is not None and loaded == number(optimizer.param_groups[place].get("lr"))
        return loaded if unwritten else made

    def _adding(self, original: Callable[..., None]) -> Callable[..., None]:
        @stands_for(original)
        def add_param_group(optimizer: Any, param_group: Any) -> None:
            given = isinstance(param_group, dict) and "lr" in param_group
            original(optimizer, param_group)
            noted = self._made.setdefault(optimizer, [])
            noted.append(number(optimizer.param_groups[-1].get("lr")))
            self.on_group(optimizer, given)

        return add_param_group

    def _loading(self, original: Callable[..., None]) -> Callable[..., None]:
        @stands_for(original)
        def load_state_dict(optimizer: Any, *args: object, **kwargs: object) -> None:
            original(optimizer, *args, **kwargs)
            self._loaded[optimizer] = [number(group.get("lr")) for group in optimizer.param_groups]

        return load_state_dict

    def _scheduling(self, original: Callable[..., None]) -> Callable[..., None]:
        @stands_for(original)
        def __init__(scheduler: Any, *args: object, **kwargs: object) -> None:  # noqa: N807
            original(scheduler, *args, **kwargs)
            self.new_schedulers.append(weakref.ref(scheduler))

        return __init__


def _at(values: list[float | None] | None, place: int) -> float | None:
    return values[place] if values is not None and place < len(values) else None
