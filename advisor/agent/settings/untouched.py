"""State that an extra forward may change, saved before it and put back after: random states, and model buffers."""

from __future__ import annotations

import random
import sys
from typing import Any

from ..loop.roots import Roots


class Untouched:
    """Random states and model buffers at the time of creation."""

    def __init__(self, roots: Roots) -> None:
        import torch

        self._torch = torch.get_rng_state()
        cuda: Any = torch.cuda
        self._cuda = cuda.get_rng_state_all() if cuda.is_initialized() else []
        self._random = random.getstate()
        numpy: Any = getattr(sys.modules.get("numpy"), "random", None)
        self._numpy = numpy.get_state() if numpy is not None else None
        models = [model for root in roots.called() if (model := root.ref()) is not None]
        self._buffers = [(buffer, buffer.detach().clone()) for model in models for buffer in model.buffers()]

    def put_back(self) -> None:
        import torch

        torch.set_rng_state(self._torch)
        if self._cuda:
            torch.cuda.set_rng_state_all(self._cuda)
        random.setstate(self._random)
        if self._numpy is not None:
            sys.modules["numpy"].random.set_state(self._numpy)
        with torch.no_grad():
            for buffer, kept in self._buffers:
                buffer.copy_(kept)
