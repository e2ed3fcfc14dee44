"""Optimizer steps in another of torch's forms: one kernel (`fused`), or one call for all tensors (`foreach`).

torch reads the form from the parameter groups at every step, so it can change between two steps. The form also needs a
step count on the parameter's device and in float32 (fused), a mark that loss scaling reads, and a mark that lets the
kernel check its tensors. The script still saves exactly what it would save without us.
"""

from __future__ import annotations

import inspect
import weakref
from typing import TYPE_CHECKING, Any, Callable

from ...refused import Refused
from ..loop.steps import Steps

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

FUSED, FOREACH = "fused", "foreach"
SCALES_ITSELF = "_step_supports_amp_scaling"
CHECKS_ONCE = "_need_device_dtype_check_for_fused"
GETSTATE = "__getstate__"
_ABSENT = object()


class OptimizerForm:
    """Optimizer form, one instance per process; nothing is touched until a form is set."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._set: list[_ChangedForm] = []

    def set(self, form: str) -> None:
        """Set the form of all optimizers that can take it, from the next step on; Refused if the main one cannot."""
        self.restore()
        optimizers = [(optimizer, main) for optimizer, _record, main in self._steps.optimizers()]
        if not optimizers:
            raise Refused("no optimizer has stepped yet")
        able = []
        for optimizer, main in optimizers:
            why = why_not(optimizer, form)
            if why is None:
                able.append(optimizer)
            elif main:
                raise Refused(why)
        for optimizer in able:
            self._set.append(_ChangedForm(optimizer, form))

    def restore(self) -> None:
        """Bring back the forms that the script chose."""
        changed, self._set = self._set, []
        for one in changed:
            one.put_back()


class _ChangedForm:
    """One optimizer in another form, with the script's own values."""

    def __init__(self, optimizer: Any, form: str) -> None:
        self._ref = weakref.ref(optimizer)
        self._groups = [
            {name: group.get(name, _ABSENT) for name in (FUSED, FOREACH)} for group in optimizer.param_groups
        ]
        self._marks = {name: optimizer.__dict__.get(name, _ABSENT) for name in (SCALES_ITSELF, CHECKS_ONCE)}
        for group in optimizer.param_groups:
            _choose(group, form)
        if form == FUSED:
            optimizer._step_supports_amp_scaling = True
            optimizer._need_device_dtype_check_for_fused = True
        else:
            optimizer.__dict__.pop(SCALES_ITSELF, None)
        _place_steps(optimizer)
        self._hook = optimizer.register_state_dict_post_hook(self._script_state)
        # Pickling and copying ask the object itself first.
        optimizer.__dict__[GETSTATE] = self._pickled

    def put_back(self) -> None:
        optimizer = self._ref()
        if optimizer is None:
            return
        self._hook.remove()
        optimizer.__dict__.pop(GETSTATE, None)
        for group, original in zip(optimizer.param_groups, self._groups):
            _put(group, original)
        _put(optimizer.__dict__, self._marks)
        _place_steps(optimizer)

    def _pickled(self) -> object:
        """Return the state that `pickle` and `deepcopy` would find without us."""
        optimizer = self._ref()
        kind: Any = type(optimizer)
        state = kind.__getstate__(optimizer)
        if not isinstance(state, dict) or not {"param_groups", "state"} <= set(state):
            return state
        return self._without_form(state, id)

    def _script_state(self, _optimizer: Optimizer, state: dict[str, Any]) -> dict[str, object]:
        """Return `state_dict()` as it would be without us: a checkpoint must not carry our form into another run."""
        return self._without_form(state, lambda number: number)

    def _without_form(self, state: dict[str, Any], key: Callable[[Any], Any]) -> dict[str, Any]:
        """Return the state with the script's own form; `key` identifies a parameter, in its groups as in its state."""
        groups = [dict(group) for group in state["param_groups"]]
        for group, original in zip(groups, self._groups):
            _put(group, original)
        fused = {key(parameter) for group in groups for parameter in group["params"] if group.get(FUSED)}
        kept = state["state"].copy()  # keeps its type: torch's own is a defaultdict
        for parameter, entry in state["state"].items():
            if isinstance(entry, dict) and hasattr(entry.get("step"), "device") and key(parameter) not in fused:
                kept[parameter] = {**entry, "step": _plain_step(entry["step"])}
        return {**state, "state": kept, "param_groups": groups}


def why_not(optimizer: Optimizer, form: str) -> str | None:
    """Return why this optimizer cannot step in this form; None if it can."""
    import torch

    name = type(optimizer).__name__
    groups = optimizer.param_groups
    if not all(form in group for group in groups) or not _step_module(optimizer).startswith("torch.optim."):
        return f"{name} has no {form} form"
    if any(group.get("differentiable") for group in groups):
        return f"{name} is differentiable, and then has no {form} form"
    if form == FOREACH:
        unfit = any(isinstance(group.get("lr"), torch.Tensor) and not group.get("capturable") for group in groups)
        return f"the learning rate of {name} is a tensor, and foreach needs a number" if unfit else None
    for group in groups:
        for parameter in group["params"]:
            why = _unfit_for_fused(parameter)
            if why is not None:
                return f"{name} cannot be fused: {why}"
    return None


def _unfit_for_fused(parameter: Tensor) -> str | None:
    from torch.utils._foreach_utils import _get_fused_kernels_supported_devices

    if not parameter.is_floating_point():
        return f"a parameter is {parameter.dtype}"
    if parameter.device.type not in _get_fused_kernels_supported_devices():
        return f"there is no kernel for {parameter.device.type}"
    if parameter.grad is not None and parameter.grad.is_sparse:
        return "a gradient is sparse"
    return None


def _choose(group: dict[str, object], form: str) -> None:
    for name in (FUSED, FOREACH):
        if name in group:
            group[name] = name == form


def _place_steps(optimizer: Any) -> None:
    """Put the step counts where torch would have put them for the groups' present form."""
    import torch

    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state.get(parameter)
            step = state.get("step") if isinstance(state, dict) else None
            if step is None or not hasattr(step, "device"):
                continue
            if group.get(FUSED):
                state["step"] = _moved(step, parameter.device, torch.float32)
            elif not group.get("capturable"):
                state["step"] = _plain_step(step)


def _plain_step(step: object) -> object:
    import torch

    wide = torch.get_default_dtype() == torch.float64
    return _moved(step, torch.device("cpu"), torch.float64 if wide else torch.float32)


def _moved(step: Any, device: object, dtype: object) -> object:
    return step if step.device == device and step.dtype == dtype else step.detach().to(device=device, dtype=dtype)


def _step_module(optimizer: Optimizer) -> str:
    """Return the module whose `step` this class runs: a subclass of the user's may step in its own way."""
    return str(getattr(inspect.unwrap(type(optimizer).step), "__module__", ""))


def _put(where: dict[str, object], values: dict[str, object]) -> None:
    for name, value in values.items():
        if value is _ABSENT:
            where.pop(name, None)
        else:
            where[name] = value
