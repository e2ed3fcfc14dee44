"""The script's own activation checkpoints: counted, and passed over, so that activations are kept and not recomputed.

`torch.utils.checkpoint` looks its two implementations up at each call, also for scripts that hold `checkpoint` by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any, Callable

from ...refused import Refused
from ..base import imports
from ..base.pass_through import passes_on
from ..base.patches import Patches
from .compiling import Compiling

MODULE = "torch.utils.checkpoint"
COMPILED = "torch.compile keeps the checkpoints of what it compiles"


class CheckpointedCalls:
    """Count of the checkpoints that the script makes."""

    def __init__(self) -> None:
        self._patches = Patches()
        self.count = 0

    def watch(self) -> None:
        imports.when_imported(MODULE, lambda module: _replace(self._patches, module, self._counting, self._counting))

    def remove(self) -> None:
        self._patches.restore()

    def _counting(self, original: Any) -> Any:
        @passes_on
        def call(*args: Any, **kwargs: Any) -> Any:
            if self._patches.on and not any(map(_is_ours, args[2:3])):
                self.count += 1
            return original(*args, **kwargs)

        return call


class ScriptCheckpoints:
    """Switch of the script's checkpoints, one instance per process."""

    def __init__(self, compiling: Compiling) -> None:
        self._compiling = compiling
        self._patches = Patches()

    def skip(self) -> None:
        """Run checkpointed functions directly from the next forward on."""
        if self._compiling.on:
            raise Refused(COMPILED)
        self.restore()
        import torch.utils.checkpoint

        _replace(self._patches, torch.utils.checkpoint, self._kept, self._kept_reentrant)

    def restore(self) -> None:
        """Let the script recompute again. Graphs built before are as they are."""
        self._patches.restore()

    def _kept(self, original: Any) -> Any:
        from torch.utils.checkpoint import noop_context_fn

        @passes_on
        def around(function: Any, preserve: bool, context_fn: Any, *rest: Any, **kwargs: Any) -> Iterator[None]:
            if self._patches.on and context_fn is noop_context_fn:
                return _nothing_around()
            return original(function, preserve, context_fn, *rest, **kwargs)  # type: ignore[no-any-return]

        return around

    def _kept_reentrant(self, original: Any) -> Any:
        @passes_on
        def apply(function: Any, preserve: bool, *args: Any) -> Any:
            # Without an input that requires a gradient, this form trains nothing inside: keeping would change that.
            if self._patches.on and any(getattr(each, "requires_grad", False) for each in args):
                return function(*args)
            return original(function, preserve, *args)

        return apply


def _is_ours(context_fn: object) -> bool:
    """Return whether the contexts of a checkpoint are those of the knob that makes some."""
    return str(getattr(context_fn, "__module__", "")).startswith(__package__)


def _nothing_around() -> Iterator[None]:
    yield


def _replace(
    patches: Patches, module: ModuleType, generator: Callable[[Any], Any], reentrant: Callable[[Any], Any]
) -> None:
    if hasattr(module, "_checkpoint_without_reentrant_generator"):  # since torch 2.1
        patches.replace(module, "_checkpoint_without_reentrant_generator", generator)
    patches.replace(module.CheckpointFunction, "apply", reentrant)
