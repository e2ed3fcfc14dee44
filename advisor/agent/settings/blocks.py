"""Blocks that a model consists of: several modules of one class in a row."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..base import slots
from ..base.pass_through import passes_on

if TYPE_CHECKING:
    from torch import Tensor, nn

LEAST_BLOCKS = 2
LEAST_SHARE = 0.5
"""Share of the parameters outside of embeddings; the model spends its memory elsewhere if its blocks have less."""
_ROWS = ("ModuleList", "Sequential")


@dataclass(frozen=True)
class Blocks:
    class_name: str
    modules: tuple[Any, ...]
    share: float
    """Share of the model's parameters outside of embeddings."""

    def describe(self) -> str:
        return f"{len(self.modules)} {self.class_name} with {self.share:.0%} of the parameters outside of embeddings"


def repeated_blocks(models: Iterable[Any]) -> Blocks | None:
    """Return the class of blocks that owns most parameters; None if no class owns enough of them."""
    models = list(models)
    total = _weight(model for model in models)
    if not total:
        return None
    found = [_blocks(modules, total) for modules in _rows(models).values()]
    return max(
        (blocks for blocks in found if len(blocks.modules) >= LEAST_BLOCKS and blocks.share >= LEAST_SHARE),
        key=lambda blocks: blocks.share,
        default=None,
    )


def called_by_blocks(blocks: Blocks, compiled: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of (module, *args, **kwargs) that calls the module, and its blocks by `compiled(block, …)`.

    The blocks are as they were once it returns: nothing shows in what the script saves, copies or inspects.
    """
    found = [weakref.ref(block) for block in blocks.modules]

    @passes_on
    def block_call(block: Any, _original: Any, args: Any, kwargs: Any) -> Any:
        return compiled(block, *args, **kwargs)

    @passes_on
    def call(module: Any, *args: object, **kwargs: object) -> Any:
        present = [block for ref in found if (block := ref()) is not None]
        put = [(block, slots.put(block, block_call)) for block in present if not slots.is_taken(block)]
        try:
            return module._call_impl(*args, **kwargs)
        finally:
            for block, slot in put:
                slots.take(block, slot)

    return call


def _rows(models: list[Any]) -> dict[type[Any], list[Any]]:
    """Return the children of rows by class, across all rows: a network of four stages has the blocks of all four."""
    by_class: dict[type[Any], dict[int, Any]] = {}
    for model in models:
        for module in model.modules():
            if type(module).__name__ not in _ROWS:
                continue
            children = list(module._modules.values())
            for child in children:
                # Running a single layer again would save little memory.
                if child is not None and child._modules and type(child).__name__ not in _ROWS:
                    by_class.setdefault(type(child), {})[id(child)] = child
    return {cls: list(modules.values()) for cls, modules in by_class.items()}


def _blocks(modules: list[Any], total: int) -> Blocks:
    """Return the blocks, except those inside another one."""
    inside = {id(inner) for module in modules for inner in module.modules() if inner is not module}
    outer = tuple(module for module in modules if id(module) not in inside)
    return Blocks(class_name=type(modules[0]).__name__, modules=outer, share=_weight(outer) / total)


def _weight(modules: Iterable[nn.Module]) -> int:
    """Count the elements of their parameters, each once, without those of embeddings."""
    import torch

    embeddings = (torch.nn.Embedding, torch.nn.EmbeddingBag)
    seen: dict[int, int] = {}
    excluded: set[int] = set()
    for module in modules:
        for inner in module.modules():
            for parameter in inner._parameters.values():
                if parameter is None:
                    continue
                if isinstance(inner, embeddings):
                    excluded.add(id(parameter))
                seen[id(parameter)] = numel(parameter)
    return sum(count for key, count in seen.items() if key not in excluded)


def numel(parameter: Tensor) -> int:
    try:
        return int(parameter.numel())
    except (RuntimeError, ValueError):  # a lazy layer's parameter has no size yet
        return 0
