"""Number of hooks that the script has registered on modules, parameters and optimizers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

ON_MODULES = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
)
ON_PARAMETERS = ("_backward_hooks", "_post_accumulate_grad_hooks")
ON_OPTIMIZERS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")


def count_hooks(models: Iterable[Any], optimizers: Iterable[Any]) -> int:
    """Return the hooks on these models, their inner modules and parameters, and on the optimizers.

    It takes a few microseconds per module, so it is called between windows only.
    """
    modules = {id(module): module for model in models for module in model.modules()}
    parameters = {id(p): p for module in modules.values() for p in module._parameters.values() if p is not None}
    return (
        _count(modules.values(), ON_MODULES)
        + _count(parameters.values(), ON_PARAMETERS)
        + _count(optimizers, ON_OPTIMIZERS)
    )


def _count(owners: Iterable[Any], names: tuple[str, ...]) -> int:
    return sum(len(getattr(owner, name, None) or ()) for owner in owners for name in names)
