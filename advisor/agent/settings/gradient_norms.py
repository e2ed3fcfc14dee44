"""Norms of the gradients of an update's first part and of the whole update: the noise of gradients shows in them."""

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


class GradientNorms:
    """Squared norms of accumulated gradients after an update's first backward and after its last.

    They stay on their device until they are reported. A scale that all parts of an update share, as a loss scaler's or
    a division by their number, does no harm: the noise scale is a ratio.
    """

    def __init__(self, clock: StepClock, steps: Steps) -> None:
        self._clock = clock
        self._steps = steps
        self._first: tuple[Any, int | None] | None = None
        self._rows: list[tuple[Any, int | None, Any, int | None, int]] = []
        self.on = False

    def start(self) -> None:
        """Watch every backward from now on."""
        if not self._steps.optimizers():
            raise Refused("no optimizer step was seen: the gradients of an update are unknown")
        self._rows, self._first, self.on = [], None, True
        self._steps.intervene(PLACE, self)

    def stop(self) -> dict[str, list[float]]:
        """Return the columns of what was seen: squared norms and samples of the first part, and of the whole."""
        if self.on:
            self.on = False
            self._steps.intervene(PLACE, None)
        rows = [row for row in self._rows if row[1] and row[3] and row[3] > row[1]]
        self._rows = []
        return {
            "small": [float(row[0]) for row in rows],
            "small_samples": [row[1] or 0 for row in rows],
            "large": [float(row[2]) for row in rows],
            "large_samples": [row[3] or 0 for row in rows],
            "parts": [row[4] for row in rows],
        }

    @passes_on
    def backward(
        self, inner: Inner, original: Callable[..., object], tensors: object, args: Any, kwargs: Any
    ) -> object:
        result = inner(original, tensors, args, kwargs)
        self._clock.exclude(self._look)
        return result

    def before_step(self, _optimizer: Optimizer, _has_closure: bool) -> bool:
        return False

    def after_step(self, _optimizer: Optimizer) -> bool:
        return True

    def _look(self) -> None:
        part, samples = self._clock.micro_steps, self._clock.samples
        norm = self._squared_norm()
        if norm is None:
            self._first = None
        elif part <= 1:
            self._first = norm, samples
        elif self._first is not None:
            row = (*self._first, norm, samples, part)
            if self._rows and self._rows[-1][0] is self._first[0]:
                self._rows[-1] = row
            else:
                self._rows.append(row)

    def _squared_norm(self) -> Any:
        import torch

        found = next((optimizer for optimizer, _record, main in self._steps.optimizers() if main), None)
        gradients = [each.grad for each in parameters_of(found) if each.grad is not None and not each.grad.is_sparse]
        if not gradients:
            return None
        norms = torch._foreach_norm([gradient.detach() for gradient in gradients])
        return torch.stack([norm.float().to(norms[0].device) for norm in norms]).square().sum()
