"""Norms of the gradients of an update's parts and of the whole update: the noise of gradients shows in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from ...refused import Refused
from ..base.pass_through import passes_on
from ..loop.clock import StepClock
from ..loop.steps import Steps
from .backward import Inner
from .gradients import parameters_of

if TYPE_CHECKING:
    from torch.optim import Optimizer

PLACE = 0
"""Place outside the accumulation, which puts the gradients of earlier parts back at the next backward."""


class _Row:
    """Parts of one update so far; norms stay on their device."""

    def __init__(self) -> None:
        self.parts: list[tuple[Any, int]] = []
        """Squared norm of each part's own gradient, and its samples."""
        self.whole: Any = 0.0
        self.samples = 0


class GradientNorms:
    """Squared norms of the gradients of every backward alone, and of all of an update together.

    A scale that all parts of an update share, as a loss scaler's or a division by their number, does no harm: the noise
    scale is a ratio. All parts count, not only the first: what they have in common then cancels out.
    """

    def __init__(self, clock: StepClock, steps: Steps) -> None:
        self._clock = clock
        self._steps = steps
        self._before: dict[int, Any] = {}
        """Parameter → a copy of its gradient after the parts so far."""
        self._rows: list[_Row] = []
        self._failed = ""
        self.on = False

    def start(self) -> None:
        """Watch every backward from now on; Refused if there is no optimizer."""
        if not self._steps.optimizers():
            raise Refused("no optimizer step was seen: the gradients of an update are unknown")
        self._rows, self._before, self._failed, self.on = [], {}, "", True
        self._steps.intervene(PLACE, self)

    def stop(self) -> dict[str, list[float]]:
        """Return the columns of what was seen: mean squared norm and samples of a part, and those of the whole."""
        if self.on:
            self.on = False
            self._steps.intervene(PLACE, None)
        rows = [row for row in self._rows if len(row.parts) > 1 and _are_alike([count for _norm, count in row.parts])]
        self._rows, self._before = [], {}
        return {
            "small": [sum(float(norm) for norm, _count in row.parts) / len(row.parts) for row in rows],
            "small_samples": [row.samples / len(row.parts) for row in rows],
            "large": [float(row.whole) for row in rows],
            "large_samples": [float(row.samples) for row in rows],
        }

    @passes_on
    def backward(
        self, inner: Inner, original: Callable[..., object], tensors: object, args: Any, kwargs: Any
    ) -> object:
        result = inner(original, tensors, args, kwargs)
        self._clock.exclude(self._look_safely)
        return result

    def before_step(self, _optimizer: Optimizer, _has_closure: bool) -> bool:
        return False

    def after_step(self, _optimizer: Optimizer) -> bool:
        return True

    def _look_safely(self) -> None:
        """Look at the gradients; a failure, as for want of memory, ends the measurement and not the training."""
        if self._failed:
            return
        try:
            self._look()
        except Exception as error:
            self._failed, self._before = type(error).__name__, {}

    def _look(self) -> None:
        import torch

        samples = self._clock.samples
        if self._clock.micro_steps <= 1:
            self._before = {}
            self._rows.append(_Row())
        if not samples or not self._rows:
            return
        main = next((optimizer for optimizer, _record, main in self._steps.optimizers() if main), None)
        found = [each for each in parameters_of(main) if each.grad is not None and not each.grad.is_sparse]  # type: ignore[arg-type]
        gradients = [each.grad.detach() for each in found]
        if not gradients:
            return
        before = [self._before.get(id(each)) for each in found]
        own = [now if then is None else now - then for now, then in zip(gradients, before)]
        row = self._rows[-1]
        row.parts.append((_squared(torch, own), samples - row.samples))
        row.whole, row.samples = _squared(torch, gradients), samples
        self._before = {id(each): now.clone() for each, now in zip(found, gradients)}


def _are_alike(counts: list[int]) -> bool:
    """Return whether the parts have as many samples each, but for one that a batch leaves over."""
    return min(counts) > 0 and max(counts) - min(counts) <= 1


def _squared(torch: Any, gradients: list[Any]) -> Any:
    norms = torch._foreach_norm(gradients)
    return torch.stack([norm.float().to(norms[0].device) for norm in norms]).square().sum()
