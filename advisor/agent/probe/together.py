"""First of several processes that train together in a probe: the others only follow it."""

from __future__ import annotations

from typing import Any, Callable

from ... import knobs, wire
from ...refused import Refused
from ..base import dynamo
from ..loop.steps import all_optimizers
from ..settings.controls import Controls
from ..settings.ranks import Ranks


class Together:
    """Joins the other ranks after the first updates, and tells them what is set; it does nothing in a process alone."""

    def __init__(self, controls: Controls, spec: wire.LaunchSpec, say: Callable[[str], None]) -> None:
        self._controls = controls
        self._ranks = Ranks(spec.rank, spec.ranks, spec.meeting, spec.why_alone, spec.joins_after)
        self._settings = {name: value for name, value in spec.config.items() if knobs.get(name).starts_ranks}
        self._told: dict[str, Any] = {}
        self._refused: dict[str, str] = {}
        controls.parallel.join(self._ranks, _in_one_order, say, tuple(self._settings))

    def update_ended(self) -> None:
        """Join when it is time, compare the ranks, and pass on what this one has set."""
        if not self._settings:
            return
        self._controls.parallel.update_ended()
        if self._controls.clock.updates == max(1, self._ranks.joins_after):
            self._controls.clock.exclude(lambda: dynamo.without_dynamo(self._join))
        for name, why in self._refused.items():
            self._controls.broke(name, why)  # in every window: it would measure one process
        if self._controls.settings != self._told:
            self._told = dict(self._controls.settings)
            self._ranks.tell(self._told)

    def _join(self) -> None:
        for name, value in self._settings.items():
            try:
                knobs.get(name).apply(self._controls, value)
            except Refused as refusal:
                self._refused[name] = str(refusal)
            except Exception as error:
                self._refused[name] = f"{type(error).__name__}: {error}"


def _in_one_order() -> list[Any]:
    """Return the optimizers in an order that is the same on all ranks."""

    def shapes(optimizer: Any) -> list[list[int]]:
        return [list(parameter.shape) for group in optimizer.param_groups for parameter in group["params"]]

    return sorted(all_optimizers(), key=lambda one: (type(one).__name__, shapes(one)))
