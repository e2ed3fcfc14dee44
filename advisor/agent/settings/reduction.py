"""Gradients of several processes, averaged in each backward.

At first they are averaged after it: this is right for whatever a backward consists of. An update shows whether torch's
own reducer can take over, which communicates while the backward still computes.

Where an update has several backwards, only the last of them needs to communicate. Which one that is shows once their
number was the same in some updates. Should a step come sooner, or anything else that reads the gradients, they are
averaged then.
"""

from __future__ import annotations

import warnings
import weakref
from typing import TYPE_CHECKING, Any, Callable

from ..base.pass_through import passes_on
from ..loop.roots import Root
from .backward import Inner, scaled
from .gradient_readers import GradientReaders
from .shared_batches import SharedBatches
from .update_length import UpdateLength

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
        self, ranks: int, parameters: Callable[[], list[Any]], batches: SharedBatches, by_hand: bool = True
    ) -> None:
        """Prepare for this many ranks."""
        self._ranks = ranks
        self._parameters = parameters
        self._batches = batches
        self.by_hand = by_hand
        """False if the model itself averages the gradients of its parameters (`fully_shard`)."""
        self.missing: set[int] = set()
        """Ids of parameters without a gradient on some rank, in any backward that was averaged afterwards."""
        self.backwards = 0
        """Backwards averaged afterwards."""
        self._reducer: _Reducer | None = None
        self._update = UpdateLength()
        self._is_open = False
        """True after a backward whose gradients are this rank's own."""
        self._readers = GradientReaders(self._average_now)
        self.may_skip: Callable[[], bool] = bool
        """Callable that returns whether nobody needs averaged gradients before the end of an update."""
        self.on_loss: Callable[[float], None] | None = None
        """Callable given the mean loss of the batch over the ranks; None if nobody asks. All ranks must have one."""

    # --- a backward ---------------------------------------------------------------------------------------------------

    @passes_on
    def backward(
        self, inner: Inner, original: Callable[..., object], tensors: object, args: Any, kwargs: Any
    ) -> object:
        weight = self._batches.weight(tensors)
        if weight != 1.0:
            args, kwargs = scaled(tensors, args, kwargs, weight)
        loss = self._sent_loss(tensors, weight) if self.on_loss is not None else None
        result = inner(original, tensors, args, kwargs)
        if loss is not None and self.on_loss is not None:
            loss[0].wait()
            self.on_loss(loss[1].item())
        self._update.backward(ends_epoch=self._batches.ends_epoch)
        if self._reducer is not None and self._reducer.take_expected():
            self._is_open = not self._reducer.synchronises
        elif self.by_hand:
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
        self._average_now()
        self._update.step()
        return False

    def after_step(self, _optimizer: Optimizer) -> bool:
        return True

    def _average_now(self) -> None:
        """Average gradients that were left to this rank, as more backwards were expected; expect none from now on."""
        if self._is_open:
            self._update.give_up()
            self._average()

    def _average(self) -> None:
        """Average the gradients. Those of earlier backwards are equal on all ranks, and stay what they are."""
        import torch
        import torch.distributed as dist

        self._is_open = False
        parameters = self._parameters()
        if not parameters:
            return
        there = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.int32)
        device = parameters[0].device
        there = there.to(device)
        dist.all_reduce(there)
        counts = there.tolist()
        self.missing |= {id(parameter) for parameter, count in zip(parameters, counts) if count < self._ranks}
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
        self._update = UpdateLength()
        if self._reducer.may_skip:
            self._readers.watch()

    def detach(self) -> None:
        """Average gradients after each backward again."""
        self._reducer = None
        self._readers.restore()

    @property
    def attached(self) -> bool:
        return self._reducer is not None

    @passes_on
    def around(self, root: Root, forward: Callable[[], object]) -> object:
        """Run a training forward of a model."""
        if self._reducer is None or not self._reducer.is_for(root.ref()):
            return forward()
        return self._reducer.run(forward, synchronises=self._synchronises())

    def _synchronises(self) -> bool:
        """Return whether the backward of the forward that now begins communicates."""
        return self._update.may_be_last or self._batches.ends_epoch or not self.may_skip()


class _Reducer:
    """torch's `DistributedDataParallel` over a model's parameters, entered and left around the model's own call.

    torch's composable `replicate` does the same by hooks, and by another class of the model, which would then neither
    be copied nor pickled.
    """

    def __init__(self, module: nn.Module, options: dict[str, Any]) -> None:
        import torch

        self._of = weakref.ref(module)
        self.may_skip = not (options.get("find_unused_parameters") or options.get("static_graph"))
        """False if it must see every backward, to know which parameters are used."""
        self.synchronises = True
        """False if the latest forward was prepared for a backward without communication."""
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
    def run(self, forward: Callable[[], object], *, synchronises: bool) -> object:
        self.synchronises = self._ddp.require_backward_grad_sync = synchronises or not self.may_skip
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
