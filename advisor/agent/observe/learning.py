"""Observation of the learning itself, between updates; the fields of `types.LearningFacts` in plain JSON."""

from __future__ import annotations

import functools
import math
import sys
from typing import TYPE_CHECKING, Any

from ..loop.clock import Update
from ..loop.evaluation_losses import EvaluationLosses
from ..settings.controls import Controls
from .clipping import ClippingWatch
from .movement import Movement
from .parameters import ParameterWatch
from .planned import planned

if TYPE_CHECKING:
    from torch import nn

    from ..loop.roots import Root

PLANNED_AT = 3
"""Update after which the loops around the step are read: the loader's role is known by then."""
ATTENTION = ("attention", "attn", "transformerencoderlayer", "transformerdecoderlayer")


class LearningWatch:
    """Looks between updates, and a wrapper of the script's clipping; nothing of it runs inside an update."""

    def __init__(self, controls: Controls) -> None:
        self._controls = controls
        self._clock = controls.clock
        self._steps = controls.steps
        self._parameters = ParameterWatch()
        self._clipping = ClippingWatch(self._clock)
        self._movement = Movement()
        self.evaluations = EvaluationLosses(self._clock, lambda: self._steps.loss_kind)
        self._first_loss: Any = None
        self._first_micro_steps = 0
        self._first_rate: float | None = None
        self._largest_rate: float | None = None
        self._planned: tuple[int | None, int | None] = (None, None)

    def install(self) -> None:
        self._clipping.install()
        self.evaluations.install()
        self._clock.on_evaluation_begins = self.evaluations.begins
        self._clock.on_training_continues = self.evaluations.training_continues

    def saw_evaluated(self, root: Root, output: object) -> None:
        """Note the output of an evaluating call."""
        if root.owned:
            self.evaluations.saw_output(output)

    def update_ended(self, update: Update, as_written: bool) -> None:
        """Look at the optimizers between two updates, right after a step; `as_written`: under no setting."""
        updates, entries = self._clock.updates, self._steps.optimizers()
        self._note_rate(next((optimizer for optimizer, _record, main in entries if main), None))
        if updates == 1:
            self._first_loss, self._first_micro_steps = update.loss, update.micro_steps
        elif update.micro_steps != self._first_micro_steps and updates <= PLANNED_AT:
            self._first_loss = None  # one of several losses, and later updates show another of them
        if updates == PLANNED_AT:
            micro_steps = max(1, update.micro_steps)
            self._planned = planned(sys._getframe(1), self._updates_per_epoch(), micro_steps)
        self._clipping.on = as_written
        if as_written and updates > 1:
            self._movement.update_ended(updates, [optimizer for optimizer, _record, _main in entries])
        else:
            self._movement.forget()

    def scan(self) -> None:
        """Look at all parameters, right after a step."""
        optimizers = [optimizer for optimizer, _record, _main in self._steps.optimizers()]
        self._parameters.scan(self._called(), optimizers, self._steps.owned_parameters())

    def _called(self) -> list[nn.Module]:
        return [model for root in self._controls.roots.called() if (model := root.ref()) is not None]

    def _updates_per_epoch(self) -> float | None:
        train = self._controls.loaders.train
        batches = train.facts["length_batches"] if train is not None else None
        return batches / self._controls.batches if batches else None

    def facts(self) -> dict[str, Any]:
        """Return the fields of `types.LearningFacts`, between updates."""
        models, everything = self._called(), self._controls.roots.found()
        entries = [(optimizer, record) for optimizer, record, _main in self._steps.optimizers()]
        owned = self._steps.owned_parameters()
        trained = [model for model in models if any(id(each) in owned for each in model.parameters())]
        return {
            **self._parameters.facts(models, everything, entries),
            **self._clipping.facts(),
            **self._movement.facts(),
            "first_loss": self._read_first_loss(),
            "first_rate": self._first_rate,
            "largest_rate": self._largest_rate,
            "attention": any(_attends(model) for model in trained),
            "norm_last": any(getattr(each, "norm_first", None) is False for m in trained for each in m.modules()),
            "planned_updates": self._planned[0],
            "planned_epochs": self._planned[1],
            "evaluates_with_gradients": any(root.evaluates_with_graph for root in self._controls.roots.called()),
            "evaluations": [each._asdict() for each in self.evaluations.done()],
        }

    def _read_first_loss(self) -> float | None:
        if hasattr(self._first_loss, "numel"):
            self._first_loss = float(self._first_loss) if self._first_loss.numel() == 1 else None
        known = isinstance(self._first_loss, float) and math.isfinite(self._first_loss)
        return self._first_loss if known else None

    def _note_rate(self, main: Any) -> None:
        rate = next((group.get("lr") for group in getattr(main, "param_groups", ())), None)
        if not isinstance(rate, (int, float)):  # one on the device is not read, which would wait for it
            return
        if self._clock.updates == 1:
            self._first_rate = float(rate)
        self._largest_rate = max(self._largest_rate or 0.0, float(rate))


@functools.cache
def _is_attention(name: str) -> bool:
    return any(piece in name.lower() for piece in ATTENTION)


def _attends(model: nn.Module) -> bool:
    return any(_is_attention(type(module).__name__) for module in model.modules())
