"""A search that shares its trials with nobody: what `SharedStudy` is to one that does."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

from ..types import Config, Trial
from .goals import Goal
from .space import Space


class Alone:
    """Nobody else: nothing is heard, and everything may be tried."""

    ended = ""
    told = heard = 0
    version = math.nan
    """Number that changes with what others do: NaN equals nothing, and everything is asked again."""

    def open(self, space: Space, goal: Goal, identity: Sequence[Any], machine: str) -> None:
        """Have nobody to tell."""

    def offer(self, profile: bytes) -> None:
        """Have nobody to offer it to."""

    def agreed(self, space: Space) -> Space:
        return space

    def news(self, _number: int) -> Sequence[Trial]:
        return ()

    def claimed_elsewhere(self) -> Collection[Config]:
        return ()

    def queued_again(self) -> Collection[Config]:
        return ()

    def claim(self, _config: Config) -> bool:
        return True

    def awaited(self, _announce: Callable[[str], None]) -> bool:
        return False

    def tell(self, trial: Trial) -> None:
        """Have nobody to tell."""

    def end(self, why: str) -> None:
        """Have nobody to tell."""

    def close(self) -> None:
        """Hold nothing."""


ALONE = Alone()
