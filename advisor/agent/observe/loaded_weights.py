"""Models of libraries that train from random weights although the library has trained ones for them.

Weights count as loaded once `load_state_dict` was called on a module or one around it, or once transformers says where
they come from. Only models of a published size are told: nobody has weights for others.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable, Iterator
from typing import Any, Callable

from ..base.pass_through import stands_for
from ..settings.blocks import numel

SIZE_TOLERANCE = 0.05
"""Relative difference from the published parameters that counts as the same, with as many classes as the model has: a
first layer for other images, or a second head, change it by less."""
MAX_LEVELS = 2
"""Levels below a called model that are searched: scripts put a backbone into a module of their own."""
SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
"""Fields of a configuration of transformers that decide whether published weights fit."""


class LoadedWeights:
    """Record of the modules that weights were loaded into."""

    def __init__(self) -> None:
        self._loaded: dict[int, weakref.ref[Any]] = {}

    def noting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return torch's `Module.load_state_dict` that also notes the module and all inside it."""
        record = self

        @stands_for(original)
        def load_state_dict(module: Any, *args: object, **kwargs: object) -> Any:
            result = original(module, *args, **kwargs)
            for inner in module.modules():
                record._loaded[id(inner)] = weakref.ref(inner)
            return result

        return load_state_dict

    def missing(self, models: Iterable[Any]) -> list[dict[str, Any]]:
        """Return the fields of `types.PublishedWeights` for models with random weights that could have others."""
        found = []
        for model in models:
            for module in _outermost(model, MAX_LEVELS):
                if not self._is_loaded(module) and (call := _published(module)):
                    size = sum(numel(parameter) for parameter in module.parameters())
                    found.append({"class_name": type(module).__name__, "parameters": size, "call": call})
        return found

    def _is_loaded(self, module: Any) -> bool:
        if getattr(getattr(module, "config", None), "_name_or_path", ""):
            return True
        return any(
            (ref := self._loaded.get(id(inner))) is not None and ref() is inner
            for inner in (module, *module.children())
        )


def _outermost(module: Any, levels: int) -> Iterator[Any]:
    """Yield the outermost modules of a library; wrappers of torch (compiled, parallel) do not count as levels."""
    inner = getattr(module, "_orig_mod", None) or (module.module if _wraps(module) else None)
    if inner is not None:
        yield from _outermost(inner, levels)
    elif _library(module) is not None:
        yield module
    elif levels > 0:
        for child in module.children():
            yield from _outermost(child, levels - 1)


def _wraps(module: Any) -> bool:
    return type(module).__module__.startswith("torch.nn.parallel") and hasattr(module, "module")


def _library(module: Any) -> str | None:
    name = type(module).__module__
    return next((library for library in _READERS if name.startswith(f"{library}.models.")), None)


def _published(module: Any) -> str:
    """Return the call that makes the same model with trained weights; "" if there are none for its size."""
    library = _library(module)
    try:
        return _READERS[library](module) if library is not None else ""
    except Exception:  # any version of the library may keep this otherwise
        return ""


def _of_torchvision(module: Any) -> str:
    size = sum(numel(parameter) for parameter in module.parameters())
    classes, parameters_per_class = _head(module)
    home = sys.modules[type(module).__module__]
    sizes = {}
    for name, weights in vars(home).items():
        if name.endswith("_Weights"):
            meta = getattr(next(iter(weights)).value, "meta", {})
            other_classes = classes - len(meta.get("categories") or range(classes))
            sizes[name] = meta.get("num_params", 0) + other_classes * parameters_per_class
    nearest = min(sizes, key=lambda name: abs(sizes[name] - size), default="")
    if not nearest or abs(sizes[nearest] - size) > SIZE_TOLERANCE * sizes[nearest]:
        return ""
    return f'torchvision.models.{nearest[: -len("_Weights")].lower()}(weights="DEFAULT")'


def _head(module: Any) -> tuple[int, int]:
    """Return the classes that the last layer tells apart, and its parameters for each."""
    last = [inner for inner in module.modules() if getattr(getattr(inner, "weight", None), "dim", int)() > 1][-1]
    bias = getattr(last, "bias", None) is not None
    return int(last.weight.shape[0]), numel(last.weight) // int(last.weight.shape[0]) + bias


def _of_timm(module: Any) -> str:
    config = getattr(module, "pretrained_cfg", None) or {}
    kept = config.get("hf_hub_id") or config.get("url")
    return f'timm.create_model("{config["architecture"]}", pretrained=True)' if kept else ""


def _of_transformers(module: Any) -> str:
    config = module.config
    usual = type(config)()
    alike = all(getattr(config, name, None) == getattr(usual, name, None) for name in SIZES)
    return f"{type(module).__name__}.from_pretrained(...)" if alike else ""


_READERS: dict[str, Callable[[Any], str]] = {
    "torchvision": _of_torchvision,
    "timm": _of_timm,
    "transformers": _of_transformers,
}
