"""State that a forward changes as a side effect, so that a repeated forward counts once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


class PassingState:
    """State that a forward may change as a side effect: buffers, and the states of torch's generators."""

    def __init__(self, module: nn.Module) -> None:
        import torch

        self._buffers = [(buffer, buffer.detach().clone()) for buffer in module.buffers()]
        self._cpu = torch.get_rng_state()
        devices = {parameter.device for parameter in module.parameters() if parameter.device.type == "cuda"}
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
