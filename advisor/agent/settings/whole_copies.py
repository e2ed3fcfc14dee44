"""Copies and pickles of a model in pieces: whole, of the script's own classes, without anything of what cut it.

Gathering is work of all ranks, which all run the script: each copies or saves at the same place.
"""

from __future__ import annotations

import copy
import copyreg
from typing import Any

STATE = (
    "__composable_api_state_key",
    "_is_fsdp_managed_module",
    "_fsdp_use_orig_params",
    "_distribute_module_applied",
)
"""Beginnings of the names under which torch keeps the state of its composable wrappers in a module."""
MARKS = ("FSDPModule", "PieceOfTensors")
"""Base classes of modules in pieces."""
MAKERS = ("torch.distributed.fsdp", "torch.distributed.tensor")
"""Modules whose hooks stay behind."""
HOOKS = (
    "_forward_pre_hooks",
    "_forward_hooks",
    "_state_dict_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
OURS = "_in_whole"
"""Attribute that marks our own hooks."""


def allow(root: Any) -> None:
    """Let the model and its parts be copied and pickled."""
    for module in root.modules():
        if is_in_pieces(module):
            allow_class(type(module))


def allow_class(cls: Any) -> None:
    """Let objects of this class be copied and pickled; its third base is the script's own class."""
    cls.__deepcopy__ = _deepcopy
    cls.__reduce_ex__ = _reduce


def is_in_pieces(module: Any) -> bool:
    return any(base.__name__ in MARKS for base in type(module).__mro__)


def mark(hook: Any) -> Any:
    """Mark a function that is registered as a hook, for it to be left out of copies."""
    setattr(hook, OURS, True)
    return hook


def _deepcopy(module: Any, memo: dict[int, Any]) -> Any:
    return copy.deepcopy(whole(module), memo)


def _reduce(module: Any, protocol: Any) -> Any:
    made, arguments, *rest = whole(module).__reduce_ex__(protocol)
    if made is copyreg.__newobj__:  # type: ignore[attr-defined]
        # pickle compares the class that this makes with the object's own.
        made, arguments = copyreg._reconstructor, (arguments[0], object, None)  # type: ignore[attr-defined]
    return made, arguments, *rest


def whole(module: Any, known: dict[int, Any] | None = None) -> Any:
    """Return the module with whole parameters, of the script's own class; what holds no parameters is shared."""
    known = {} if known is None else known
    if id(module) in known:
        return known[id(module)]
    cls: Any = type(module).__mro__[2] if is_in_pieces(module) else type(module)
    made = known[id(module)] = cls.__new__(cls)
    own = {name: value for name, value in vars(module).items() if not str(name).startswith(STATE)}
    own.pop("_compiled_call_impl", None)
    for name in HOOKS:
        hooks = own.get(name)
        if hooks:
            own[name] = type(hooks)((key, hook) for key, hook in hooks.items() if not _is_of_pieces(hook))
    with_hooks = [name for name in own if name.startswith("_forward_") and name not in HOOKS]
    for name in with_hooks:  # which hooks take keywords, and which are always called
        if isinstance(own[name], dict):
            kept = own[name.partition("_with_")[0].partition("_always_")[0]]
            own[name] = type(own[name])((key, flag) for key, flag in own[name].items() if key in kept)
    own["_parameters"] = {name: _whole_parameter(value, known) for name, value in own["_parameters"].items()}
    own["_modules"] = {
        name: whole(child, known) if child is not None else None for name, child in own["_modules"].items()
    }
    made.__dict__.update(own)
    return made


def _is_of_pieces(hook: Any) -> bool:
    inner = getattr(hook, "hook", hook)
    return str(getattr(inner, "__module__", "")).startswith(MAKERS) or hasattr(inner, OURS)


def _whole_parameter(parameter: Any, known: dict[int, Any]) -> Any:
    import torch

    if parameter is None or not hasattr(parameter, "full_tensor"):
        return parameter
    if id(parameter) not in known:
        full = parameter.detach().full_tensor()
        known[id(parameter)] = torch.nn.Parameter(full, requires_grad=parameter.requires_grad)
    return known[id(parameter)]
