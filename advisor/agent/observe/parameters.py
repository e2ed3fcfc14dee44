"""Parameters without gradients, without an optimizer, or frozen in one: looked at between updates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..loop.steps import all_optimizers
from ..settings.blocks import numel
from ..settings.gradients import parameters_of
from ..settings.untrained import unused_parameters

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

LEAST_STEPS = 5
"""Steps of an optimizer from which its parameters without a gradient are told: an expert may wait a while for input."""
MOST_NAMES = 64


class ParameterWatch:
    """Record of the gradients seen at the ends of some updates. A scan reads attributes only, and no values."""

    def __init__(self) -> None:
        self.scans = 0
        self._had_gradient: set[int] = set()
        self._versions: dict[int, int] = {}
        """Parameter without an optimizer → version of its values when it was first seen."""
        self._owned_elsewhere: set[int] | None = None

    def scan(self, models: Iterable[nn.Module], optimizers: Iterable[Optimizer], owned: set[int]) -> None:
        """Note which parameters have gradients now, right after an optimizer's step."""
        self.scans += 1
        models = list(models)
        for optimizer in optimizers:
            self._had_gradient.update(id(each) for each in parameters_of(optimizer) if each.grad is not None)
        for parameter in self._without_optimizer(models, owned):
            self._versions.setdefault(id(parameter), parameter._version)

    def facts(
        self, models: Sequence[nn.Module], everything: Sequence[nn.Module], optimizers: Sequence[tuple[Any, Any]]
    ) -> dict[str, Any]:
        """Return the fields of `types.LearningFacts`; `everything` are all modules."""
        names = {id(each): name for model in (*everything, *models) for name, each in model.named_parameters()}
        owned = {id(each) for optimizer, _record in optimizers for each in parameters_of(optimizer)}
        dead = [each for entry in optimizers for each in self._dead(*entry)]
        frozen = [each for optimizer, _record in optimizers for each in parameters_of(optimizer) if _is_frozen(each)]
        unowned = [
            each
            for each in self._without_optimizer(models, owned)
            if self._versions.get(id(each)) == each._version  # others are updated by hand
        ]
        return {
            "scans": self.scans,
            "dead": [names.get(id(each), "") for each in dead][:MOST_NAMES],
            "dead_elements": _elements(dead),
            "orphan_elements": _elements([each for each in dead if id(each) not in names]),
            "owned_elements": _elements(
                [each for optimizer, _record in optimizers for each in parameters_of(optimizer)]
            ),
            "unowned": [names.get(id(each), "") for each in unowned][:MOST_NAMES],
            "unowned_elements": _elements(unowned),
            "frozen_owned": [names.get(id(each), "") for each in frozen][:MOST_NAMES],
            "frozen_owned_elements": _elements(frozen),
        }

    def _dead(self, optimizer: Optimizer, record: Any) -> list[Tensor]:
        """Return the parameters for which nothing was ever done; none if that holds for all, as nothing is known then.

        An optimizer with a state of its own keeps one for every parameter that it has updated.
        """
        wanted = [each for each in parameters_of(optimizer) if each.requires_grad]
        dead = [each for each in wanted if id(each) not in self._had_gradient and not optimizer.state.get(each)]
        return dead if record.steps >= LEAST_STEPS and len(dead) < len(wanted) else []

    def _without_optimizer(self, models: Sequence[nn.Module], owned: set[int]) -> list[Tensor]:
        found = unused_parameters(models, owned)
        if not found:
            return []
        if self._owned_elsewhere is None:  # an optimizer that has not stepped yet
            self._owned_elsewhere = {id(each) for optimizer in all_optimizers() for each in parameters_of(optimizer)}
        return [each for each in found if id(each) not in self._owned_elsewhere]


def _is_frozen(parameter: Tensor) -> bool:
    return not parameter.requires_grad and parameter.is_floating_point()


def _elements(parameters: Sequence[Tensor]) -> int:
    return sum(numel(each) for each in parameters)
