"""Values of the optimizers' groups, such as momentum and weight decay, set for a while and put back."""

from __future__ import annotations

from typing import Any

from ...knobs._controls import Change
from ...refused import Refused
from ..loop.steps import Steps, all_optimizers

_ABSENT = object()


class OptimizerValues:
    """Entries of all optimizers' groups, by the setting that changed them; nothing is touched until one is set."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._changed: dict[str, list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]] = {}
        """Setting → (group or defaults, its own entries, ours)."""
        self._added_state: dict[str, list[tuple[Any, str]]] = {}
        """Setting → (optimizer, entry of its state) that only a step with the setting creates."""

    def set(self, name: str, change: Change, none: str, *, state: str = "") -> None:
        """Change the groups of all optimizers on behalf of the setting `name`.

        Raises Refused, with the class of the main optimizer in place of `{}` in `none`, if it has no place for it. An
        entry `state` that the setting alone puts into an optimizer's state is removed with it.
        """
        self.restore(name)
        stepped = {id(optimizer): is_main for optimizer, _record, is_main in self._steps.optimizers()}
        optimizers = own_optimizers()
        main = max(optimizers, key=lambda one: (stepped.get(id(one), False), _parameters(one)), default=None)
        if main is None:
            raise Refused("no optimizer was seen")
        if not any(change(group, main.param_groups) is not None for group in main.param_groups):
            raise Refused(none.format(type(main).__name__))
        changed = self._changed[name] = []
        for optimizer in optimizers:
            groups = optimizer.param_groups
            found = [(group, change(group, groups)) for group in (*groups, optimizer.defaults)]
            was_off = not any(group.get(key) for group, entries in found for key in entries or ())
            for group, entries in found:
                if entries:
                    changed.append((group, {key: group.get(key, _ABSENT) for key in entries}, entries))
                    group.update(entries)
            if state and was_off:
                self._added_state.setdefault(name, []).append((optimizer, state))

    def restore(self, name: str) -> None:
        """Put back what the setting has changed, where nobody else has changed it since."""
        for group, own, ours in self._changed.pop(name, ()):
            for key, value in own.items():
                if group.get(key, _ABSENT) != ours[key]:
                    continue
                if value is _ABSENT:
                    del group[key]
                else:
                    group[key] = value
        for optimizer, key in self._added_state.pop(name, ()):
            for entry in optimizer.state.values():
                entry.pop(key, None)


def own_optimizers() -> list[Any]:
    """Return the optimizers of the process that have groups of their own; a library's wrappers show another's."""
    optimizers = all_optimizers()
    wrapped = {id(inner) for one in optimizers for inner in vars(one).values() if inner is not one}
    shown: dict[int, Any] = {}
    for optimizer in sorted(optimizers, key=lambda one: id(one) not in wrapped):
        if all(id(group) not in shown for group in optimizer.param_groups):
            shown.update((id(group), optimizer) for group in optimizer.param_groups)
    return list({id(optimizer): optimizer for optimizer in shown.values()}.values())


def _parameters(optimizer: Any) -> int:
    return sum(int(parameter.numel()) for group in optimizer.param_groups for parameter in group["params"])
