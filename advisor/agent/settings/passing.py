"""State that a forward changes as a side effect: saved before one that is repeated or not the script's own."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable
from typing import Any

from ..loop.roots import Roots


class PassingState:
    """State that a forward may change as a side effect: buffers, and the states of torch's generators."""

    def __init__(self, *modules: Any, devices: Iterable[Any] | None = None) -> None:
        """Save the state; `devices` are those whose generators may be drawn from, by default those of the modules."""
        import torch

        if devices is None:
            parameters = (parameter for module in modules for parameter in module.parameters())
            devices = {parameter.device for parameter in parameters if parameter.device.type == "cuda"}
        self._buffers = [(buffer, buffer.detach().clone()) for module in modules for buffer in module.buffers()]
        self._cpu = torch.get_rng_state()
        self._cuda = [(device, torch.cuda.get_rng_state(device)) for device in devices]

    def put_back(self) -> None:
        import torch

        self.put_back_buffers()
        torch.set_rng_state(self._cpu)
        for device, state in self._cuda:
            torch.cuda.set_rng_state(state, device)

    def put_back_buffers(self) -> None:
        import torch

        with torch.no_grad():
            for buffer, before in self._buffers:
                if not torch.equal(buffer, before):
                    buffer.copy_(before)


class Snapshot(PassingState):
    """The same of all models, on all devices, with the states of Python and NumPy: an extra forward leaves no trace."""

    def __init__(self, roots: Roots) -> None:
        cuda: Any = sys.modules["torch"].cuda
        models = [model for root in roots.called() if (model := root.ref()) is not None]
        super().__init__(*models, devices=range(cuda.device_count()) if cuda.is_initialized() else ())
        self._random = random.getstate()
        numpy: Any = getattr(sys.modules.get("numpy"), "random", None)
        self._numpy = numpy.get_state() if numpy is not None else None

    def put_back(self) -> None:
        super().put_back()
        random.setstate(self._random)
        if self._numpy is not None:
            sys.modules["numpy"].random.set_state(self._numpy)
