"""Random numbers of processes that train together: the same order of samples, other draws of dropout.

All are seeded alike at their start, so that they make the same model. When training begins, every rank but the first
draws its own numbers: only the order of an epoch is drawn from the first rank's state.
"""

from __future__ import annotations

import contextlib
import random
import sys
import zlib
from collections.abc import Callable, Iterator
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


class EpochDraws:
    """Draws of an epoch's order: from the first rank's state, which is sent once, as the iterator begins.

    A sampler draws when its first element is asked for. What the first rank has drawn itself since the beginning is
    then not known to the others: the order is drawn from the state after the beginning, on all ranks.
    """

    def __init__(self, rank: int, of_first: Callable[[Any], Any]) -> None:
        """Prepare; `of_first` returns on every rank what the first one passes."""
        self._rank = rank
        self._of_first = of_first
        self._inside = False
        self._after_beginning: dict[str, Any] | None = None
        """State that the first element is drawn from; None if the first rank must be asked."""

    @contextlib.contextmanager
    def drawing(self, begins: bool) -> Iterator[None]:
        """Draw what is drawn inside alike on all ranks; each continues with its own numbers afterwards.

        `begins` says that an iterator begins; otherwise its first element is drawn.
        """
        if self._inside:  # workers get their first elements as their iterator begins
            yield
            return
        own = _states()
        state, self._after_beginning = self._after_beginning, None
        if begins or state is None:
            state = self._of_first(None if self._rank else own)
        moves = bool(self._rank) or _values(state) != _values(own)
        if moves:
            _set(state)
        self._inside = True
        try:
            yield
        finally:
            self._inside = False
            if begins:
                self._after_beginning = _states()
            if moves:
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


def _values(states: dict[str, Any]) -> tuple[object, ...]:
    """Return the states in a form that can be compared."""
    tensors = [states[name] for name in ("torch", "device")]
    in_bytes = [None if tensor is None else tensor.numpy().tobytes() for tensor in tensors]
    numpy = states["numpy"]
    return (states["python"], *in_bytes, None if numpy is None else (numpy[1].tobytes(), *numpy[2:]))


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
