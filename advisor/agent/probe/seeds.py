"""Different seed for a script that chose its own: processes with equal seeds draw alike, others show chance effects.

The number seeds every generator that scripts usually draw from, and offsets every seed that the script itself sets.
Generators that the script creates without a seed stay unchanged.
"""

from __future__ import annotations

import functools
import random
from types import ModuleType
from typing import Any, Callable

from ..base import imports
from ..base.pass_through import stands_for

MOST = 2**32
"""Exclusive upper limit of NumPy's seeds."""


def install(number: int) -> None:
    """Seed generators before the script's first line; 0 leaves the script's own seeds unchanged."""
    random.seed(number)
    _move(random, "seed", number)
    imports.when_imported("numpy", functools.partial(_numpy, number))
    imports.when_imported("torch", functools.partial(_torch, number))


def _numpy(number: int, numpy: object) -> None:
    drawing = getattr(numpy, "random", None)
    if drawing is None or not hasattr(drawing, "seed"):  # a file of the user's may be called numpy
        return
    drawing.seed(number % MOST)
    for name in ("seed", "default_rng"):
        _move(drawing, name, number)


def _torch(number: int, torch: ModuleType) -> None:
    if not hasattr(torch, "manual_seed"):
        return
    torch.manual_seed(number)
    _move(torch, "manual_seed", number)
    torch.random.manual_seed = torch.manual_seed


def _move(owner: object, name: str, number: int) -> None:
    original: Callable[..., object] = getattr(owner, name)

    @stands_for(original, in_c=True)
    def moved(*args: object, **kwargs: object) -> object:
        return original(
            *(_moved(value, number) for value in args[:1]),
            *args[1:],
            **{word: _moved(value, number) if word in _NAMES else value for word, value in kwargs.items()},
        )

    setattr(owner, name, moved)


_NAMES = ("seed", "a")
"""Keyword names of the seed; the standard library uses `a`."""


def _moved(value: Any, number: int) -> object:
    plain = number and isinstance(value, int) and not isinstance(value, bool)
    return (value + number) % MOST if plain else value
