"""Gradients of several processes, averaged in each backward.

At first they are averaged after it: this is right for whatever a backward consists of. An update shows whether torch's
own reducer can take over, which communicates while the backward still computes.
"""

from __future__ import annotations

import warnings
import weakref
from typing import TYPE_CHECKING, Any, Callable

from ..base.pass_through import passes_on
from ..loop.roots import Root
from .backward import Inner, scaled

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

PLACE = 3
"""Place inside loss scaling, which looks for overflows: every rank then finds the same ones."""
BUCKET_BYTES = 25 * 2**20
"""Bytes that are communicated at once; torch's own number."""


class Reduction:
    """Averaging of gradients, one instance per process, put around every backward (see `Steps.intervene`)."""

    def __init__(
        self, ranks: int, parameters: Callable[[], list[Any]], weight: Callable[[Any], float], by_hand: bool = True
    ) -> None:
        """Prepare for this many ranks; `weight` (loss) is the factor of the present batch's gradients."""
        self._ranks = ranks
        self._parameters = parameters
        self._weight = weight
        self.by_hand = by_hand
        """False if the model itself averages the gradients of its parameters (`fully_shard`)."""
        self.missing: set[int] = set()
        """Ids of parameters without a gradient on some rank, in the latest backward that was averaged afterwards."""
        self.backwards = 0
        """Backwards averaged afterwards."""
        self._reducer: _Reducer | None = None
        self.on_loss: Callable[[float], None] | None = None
        """Callable given the mean loss of the batch over the ranks; None if nobody asks. All ranks must have one."""

    # --- a backward ---------------------------------------------------------------------------------------------------

    @passes_on
    def backward(
        self, inner: Inner, original: Callable[..., object], tensors: object, args: Any, kwargs: Any
    ) -> object:
        weight = self._weight(tensors)
        if weight != 1.0:
            args, kwargs = scaled(tensors, args, kwargs, weight)
        loss = self._sent_loss(tensors, weight) if self.on_loss is not None else None
        result = inner(original, tensors, args, kwargs)
        if loss is not None and self.on_loss is not None:
            loss[0].wait()
            self.on_loss(loss[1].item())
        if self._reducer is not None and self._reducer.take_expected():
            return result
        if self.by_hand:
            self._average()
        return result

    def _sent_loss(self, tensors: Any, weight: float) -> tuple[Any, Any] | None:
        """Begin to average the loss of one backward; return what to wait for, and the result."""
        import torch.distributed as dist

        first = tensors if hasattr(tensors, "detach") else tensors[0]
        if first.numel() != 1:
            return None
        loss = first.detach().double().reshape(1) * (weight / self._ranks)
        return dist.all_reduce(loss, async_op=True), loss

    def before_step(self, _optimizer: Optimizer, _has_closure: bool) -> bool:
        return False

    def after_step(self, _optimizer: Optimizer) -> bool:
        return True

    def _average(self) -> None:
        """Average the gradients. Those of earlier backwards are equal on all ranks, and stay what they are."""
        import torch
        import torch.distributed as dist

        parameters = self._parameters()
        if not parameters:
            return
        there = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.int32)
        device = parameters[0].device
        there = there.to(device)
        dist.all_reduce(there)
        counts = there.tolist()
        self.missing = {id(parameter) for parameter, count in zip(parameters, counts) if count < self._ranks}
        self.backwards += 1
        with torch.no_grad():
            for parameter, count in zip(parameters, counts):
                if count and parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            wanted = [parameter.grad for parameter, count in zip(parameters, counts) if count]
            for bucket in _buckets(wanted):
                flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
                dist.all_reduce(flat)
                flat /= self._ranks
                for gradient, part in zip(bucket, torch.split(flat, [gradient.numel() for gradient in bucket])):
                    gradient.copy_(part.view_as(gradient))

    # --- torch's reducer ----------------------------------------------------------------------------------------------

    def attach(self, module: nn.Module, options: dict[str, Any]) -> None:
        """Let torch's reducer average the gradients of this model from its next training forward on."""
        self._reducer = _Reducer(module, options)

    def detach(self) -> None:
        self._reducer = None

    @property
    def attached(self) -> bool:
        return self._reducer is not None

    @passes_on
    def around(self, root: Root, forward: Callable[[], object]) -> object:
        """Run a training forward of a model."""
        if self._reducer is None or not self._reducer.is_for(root.ref()):
            return forward()
        return self._reducer.run(forward)


class _Reducer:
    """torch's `DistributedDataParallel` over a model's parameters, entered and left around the model's own call.

    torch's composable `replicate` does the same by hooks, and by another class of the model, which would then neither
    be copied nor pickled.
    """

    def __init__(self, module: nn.Module, options: dict[str, Any]) -> None:
        import torch

        self._of = weakref.ref(module)
        compression = options.pop("compression", None)
        parameters = torch.nn.ParameterList([p for p in module.parameters() if p.requires_grad])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._ddp: Any = torch.nn.parallel.DistributedDataParallel(parameters, **options)
        if compression is not None:
            from torch.distributed.algorithms.ddp_comm_hooks import default_hooks

            self._ddp.register_comm_hook(None, getattr(default_hooks, f"{compression}_compress_hook"))
        self._expected = False

    def is_for(self, module: nn.Module | None) -> bool:
        return module is not None and self._of() is module and module.training

    @passes_on
    def run(self, forward: Callable[[], object]) -> object:
        self._ddp._pre_forward()
        output = forward()
        self._expected = True
        return self._ddp._post_forward(output)

    def take_expected(self) -> bool:
        """Return whether the reducer was prepared for the backward that has just run."""
        expected, self._expected = self._expected, False
        return expected


def _buckets(gradients: list[Tensor]) -> list[list[Tensor]]:
    """Return the gradients in groups of one dtype and device, none much larger than can be communicated at once."""
    found: list[list[Tensor]] = []
    open_buckets: dict[tuple[object, object], tuple[list[Tensor], int]] = {}
    for gradient in gradients:
        kind = (gradient.dtype, gradient.device)
        bucket, size = open_buckets.get(kind, ([], BUCKET_BYTES))
        if size >= BUCKET_BYTES:
            bucket, size = [], 0
            found.append(bucket)
        bucket.append(gradient)
        open_buckets[kind] = (bucket, size + gradient.numel() * gradient.element_size())
    return found
