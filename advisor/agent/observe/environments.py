"""Environments of reinforcement learning: objects that a script resets, and steps by actions."""

from __future__ import annotations

import gc
from typing import Any

NO_ENVIRONMENTS = ("torch", "lightning", "pytorch_lightning", "accelerate", "transformers", "tqdm", "builtins")
"""Packages whose meters, schedulers and optimizers have both methods, too."""


def any_environment() -> bool:
    """Return whether an object with the methods `reset` and `step` is alive that is no part of the training itself."""
    kinds = {type(item) for item in gc.get_objects()}
    return any(_is_environment(kind) for kind in kinds)


def _is_environment(kind: type[Any]) -> bool:
    try:
        has_both = callable(getattr(kind, "reset", None)) and callable(getattr(kind, "step", None))
        bases = {base.__module__.partition(".")[0] for base in kind.__mro__ if base is not object}
    except Exception:  # a metaclass may do anything when it is asked
        return False
    return has_both and bases.isdisjoint(NO_ENVIRONMENTS)
