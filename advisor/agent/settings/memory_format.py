"""Weights of 2-D convolutions in channels_last, switched between two updates and back.

A convolution takes the format of its weights, converts its input once, and hands its format on. Gradients and the
optimizers' running means are converted with their weight: fused and multi-tensor steps go through memory in its order
and would pair the wrong elements.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...refused import Refused
from ..loop.roots import Roots
from ..loop.steps import Steps

if TYPE_CHECKING:
    from torch import Tensor


class MemoryFormat:
    """Memory format, one instance per process; nothing is touched until a format is set."""

    def __init__(self, roots: Roots, steps: Steps) -> None:
        self._roots = roots
        self._steps = steps
        self._set: list[tuple[weakref.ref[Any], tuple[int, ...], tuple[int, ...]]] = []
        """Weight, its shape, its strides in the baseline."""

    def set(self, name: str) -> None:
        """Set `channels_last` for all trained models. Raises Refused if none of their weights can take it."""
        import torch

        self.restore()
        if name != "channels_last":
            raise Refused(f"unknown memory_format={name!r}: expected channels_last")
        weights = {id(weight): weight for weight in self._weights() if _is_plain(weight)}
        if not weights:
            raise Refused("no 2-D convolution of the trained models has weights in the default format")
        shared = next((weight for weight in weights.values() if _is_part(weight)), None)
        if shared is not None:
            raise Refused(
                f"a weight of shape {tuple(shared.shape)} is part of a larger buffer, as in sharding libraries: it "
                "cannot have its own format"
            )
        for weight in weights.values():
            self._set.append((weakref.ref(weight), tuple(weight.shape), tuple(weight.stride())))
            last = torch.empty_like(weight, memory_format=torch.channels_last, requires_grad=False).stride()
            self._stride(weight, last)

    def restore(self) -> None:
        """Bring back the strides that the script had."""
        written, self._set = self._set, []
        for ref, shape, strides in written:
            weight = ref()
            if weight is not None and tuple(weight.shape) == shape:
                self._stride(weight, strides)

    def _weights(self) -> Iterator[Any]:
        import torch

        kinds = (torch.nn.Conv2d, torch.nn.ConvTranspose2d)
        for model in self._roots.trained():
            for module in model.modules():
                # Parametrized weights are not parameters: their parametrization chooses the format at every call.
                weight = module._parameters.get("weight") if isinstance(module, kinds) else None
                if weight is not None and weight.dim() == 4:
                    yield weight

    def _stride(self, weight: Tensor, strides: tuple[int, ...]) -> None:
        """Restride the weight, and every tensor that is paired with it element by element."""
        _restride(weight, strides)
        if weight.grad is not None:
            _restride(weight.grad, strides)
        for optimizer, _record, _main in self._steps.optimizers():
            state = optimizer.state.get(weight) if weight in optimizer.state else None
            for value in state.values() if isinstance(state, dict) else ():
                if hasattr(value, "stride") and value.shape == weight.shape:
                    _restride(value, strides)


def _is_plain(weight: Tensor) -> bool:
    """Return whether the weight is only in the default format; a kernel of 1 × 1 is in both formats at once."""
    import torch

    return weight.is_contiguous() and not weight.is_contiguous(memory_format=torch.channels_last)


def _is_part(weight: Tensor) -> bool:
    return bool(weight.untyped_storage().nbytes() != weight.numel() * weight.element_size())


def _restride(tensor: Tensor, strides: tuple[int, ...]) -> None:
    """Reorder the memory of a tensor in place: the same object with the same values."""
    import torch

    if tensor.layout is not torch.strided or tuple(tensor.stride()) == tuple(strides):
        return
    plain = tensor.detach()
    tensor.data = torch.empty_strided(plain.shape, strides, dtype=plain.dtype, device=plain.device).copy_(plain)
