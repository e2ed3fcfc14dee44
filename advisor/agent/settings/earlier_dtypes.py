"""Outputs that a script keeps from updates under a reduced precision: in a replay memory, a pool of pictures, a list.

Once the setting is taken back, the model's weights are what they were, and its layers accept no other dtype.
"""

from __future__ import annotations

import operator
from typing import Any

from ..loop.roots import Root


class EarlierDtypes:
    """Arguments of a forward in a dtype that was left, given to the model in that of its weights."""

    def __init__(self) -> None:
        self._left: set[Any] = set()

    def leave(self, dtype: Any) -> None:
        """Note that outputs of this dtype may come back."""
        self._left.add(dtype)

    def widened(self, root: Root, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Return the arguments of a forward without autocast."""
        import torch

        module = root.ref()
        first = next(module.parameters(), None) if module is not None else None
        if first is None or first.dtype != torch.float32 or torch.is_autocast_enabled(first.device.type):
            return args, kwargs
        return self._wide(args, first.dtype), self._wide(kwargs, first.dtype)

    def _wide(self, value: Any, dtype: Any) -> Any:
        """Return the value with its tensors in this dtype; what holds none of them stays the same object."""
        import torch

        if type(value) in (tuple, list):
            parts = [self._wide(part, dtype) for part in value]
            return value if all(map(operator.is_, parts, value)) else type(value)(parts)
        if type(value) is dict:
            values = {name: self._wide(part, dtype) for name, part in value.items()}
            return value if all(map(operator.is_, values.values(), value.values())) else values
        return value.to(dtype) if isinstance(value, torch.Tensor) and value.dtype in self._left else value
