"""Random numbers of processes that train together: the same order of samples, other draws of dropout.

All are seeded alike at their start, so that they make the same model. When training begins, every rank but the first
draws its own numbers: only the order of an epoch is drawn from the first rank's state.
"""

from __future__ import annotations

import contextlib
import random
import sys
import zlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from ..base import imports
from .ranks import Ranks

MOST_OF_NUMPY = 2**32


def begin_alike(seed: int) -> None:
    """Seed the generators before the script's first line; seeds that it sets itself are alike on all ranks anyway."""
    random.seed(seed)
    imports.when_imported("numpy", lambda numpy: _seed_numpy(numpy, seed))
    imports.when_imported("torch", lambda torch: torch.manual_seed(seed))


def differ(ranks: Ranks) -> None:
    """Let every rank but the first draw numbers of its own from now on."""
    import torch

    seed = ranks.first_of(random.SystemRandom().getrandbits(48)) + ranks.rank
    if not ranks.rank:
        return
    random.seed(seed)
    torch.manual_seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        _seed_numpy(numpy, seed)


def agree(ranks: Ranks) -> None:
    """Let every rank draw the numbers that the first one draws, from now on."""
    first = ranks.first_of(_states() if not ranks.rank else None)
    if ranks.rank:
        _set(first)


@contextlib.contextmanager
def as_the_first(ranks: Ranks) -> Iterator[None]:
    """Draw what is drawn inside from the first rank's state; the others continue with their own afterwards."""
    own = _states()
    first = ranks.first_of(own if not ranks.rank else None)
    if ranks.rank:
        _set(first)
    try:
        yield
    finally:
        if ranks.rank:
            _set(own)


def digest() -> int:
    """Return a number that differs where processes have drawn other numbers."""
    import torch

    numbers = zlib.crc32(torch.get_rng_state().numpy().tobytes())
    return zlib.crc32(repr(random.getstate()).encode(), numbers)


def _states() -> dict[str, Any]:
    import torch

    numpy = _drawing(sys.modules.get("numpy"))
    device: Any = torch.cuda
    return {
        "python": random.getstate(),
        "torch": torch.get_rng_state(),
        "numpy": numpy.get_state() if numpy is not None else None,
        "device": device.get_rng_state() if device.is_available() and device.is_initialized() else None,
    }


def _set(states: dict[str, Any]) -> None:
    import torch

    random.setstate(states["python"])
    torch.set_rng_state(states["torch"])
    numpy = _drawing(sys.modules.get("numpy"))
    if numpy is not None and states["numpy"] is not None:
        numpy.set_state(states["numpy"])
    if states["device"] is not None:
        torch.cuda.set_rng_state(states["device"])


def _seed_numpy(numpy: ModuleType, seed: int) -> None:
    drawing = _drawing(numpy)
    if drawing is not None:
        drawing.seed(seed % MOST_OF_NUMPY)


def _drawing(numpy: Any) -> Any:
    """Return NumPy's global generator; None where a file of the user's is called numpy."""
    drawing = getattr(numpy, "random", None)
    return drawing if hasattr(drawing, "get_state") else None
