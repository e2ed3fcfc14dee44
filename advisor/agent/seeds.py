"""Another seed for a script that chose its own: processes that share one draw alike, others show what chance does.

Every generator that scripts usually draw from is begun with the number, and every seed that the script sets itself is
moved by it. Generators that the script makes for itself without a seed stay as they are.
"""

from __future__ import annotations

import functools
import random
from typing import Any, Callable

from . import imports
from .pass_through import passes_on_to_c

MOST = 2**32
"""NumPy takes seeds below it."""


def install(number: int) -> None:
    """Before the script's first line; 0 leaves the seeds that the script sets as they are."""
    random.seed(number)
    _move(random, "seed", number)
    imports.when_imported("numpy", functools.partial(_numpy, number))
    imports.when_imported("torch", functools.partial(_torch, number))


def _numpy(number: int, numpy: Any) -> None:
    drawing = getattr(numpy, "random", None)
    if drawing is None or not hasattr(drawing, "seed"):  # a file of the user's may be called numpy
        return
    drawing.seed(number % MOST)
    for name in ("seed", "default_rng"):
        _move(drawing, name, number)


def _torch(number: int, torch: Any) -> None:
    if not hasattr(torch, "manual_seed"):
        return
    torch.manual_seed(number)
    _move(torch, "manual_seed", number)
    torch.random.manual_seed = torch.manual_seed


def _move(owner: Any, name: str, number: int) -> None:
    original: Callable[..., Any] = getattr(owner, name)

    @passes_on_to_c
    @functools.wraps(original)
    def moved(*args: Any, **kwargs: Any) -> Any:
        return original(
            *(_moved(value, number) for value in args[:1]),
            *args[1:],
            **{word: _moved(value, number) if word in _NAMES else value for word, value in kwargs.items()},
        )

    setattr(owner, name, moved)


_NAMES = ("seed", "a")
"""What the seed is called where it is given by name; the standard library says `a`."""


def _moved(value: Any, number: int) -> Any:
    plain = number and isinstance(value, int) and not isinstance(value, bool)
    return (value + number) % MOST if plain else value
