"""Activation checkpointing from outside: blocks keep only their inputs, and run again in the backward pass.

The calls of the model's repeated blocks go through `torch.utils.checkpoint` (not reentrant). The second run gets the
random states of the first, and cannot change running averages of normalisation: the training is the same bit for bit.
Some blocks leave a trace when run twice: they count their calls, change a buffer of their own, or draw from a generator
other than torch's. They are found at their first calls, and the setting is given up.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Callable

from ...refused import Refused
from ..base import slots
from ..base.pass_through import passes_on
from ..loop.roots import Roots
from .blocks import Blocks, repeated_blocks
from .compiling import Compiling

if TYPE_CHECKING:
    from torch import nn

TOGETHER = "torch.compile ignores wrappers of a block: it has a memory budget of its own"
CHECKED_CALLS = 2
"""Calls with a trace after which the setting is given up; the very first call may set up lasting state."""
_CLOSED = ("DataParallel", "OptimizedModule", "FullyShardedDataParallel")
_CACHES = ("past_key_values", "past_key_value", "layer_past")
"""Arguments of transformers' blocks that hold the state for generating text; a training step does not use them."""
_PLAIN = (bool, int, float, str, type(None))


class Checkpointing:
    """Checkpointing, one instance per process; no call of a block is intercepted until it is set."""

    def __init__(self, roots: Roots, compiling: Compiling, broke: Callable[[str], None]) -> None:
        """Prepare; `broke` is called with the reason if an accepted setting cannot be kept."""
        self._roots = roots
        self._compiling = compiling
        self._broke = broke
        self._slots: list[tuple[Any, slots.CallSlot]] = []
        compiling.barred = lambda: TOGETHER if self.on else None

    @property
    def on(self) -> bool:
        return bool(self._slots)

    def set(self) -> None:
        """Checkpoint the blocks from the next forward on."""
        self.restore()
        blocks = self._blocks()
        import torch._dynamo  # noqa: F401  # checkpoint would import it in the middle of a forward

        for module in blocks.modules:
            self._slots.append((module, slots.put(module, _Block(self._fail))))

    def restore(self) -> None:
        """Bring back the baseline. Graphs built before still run their blocks again, once."""
        for module, slot in self._slots:
            slots.take(module, slot)
        self._slots.clear()

    def _fail(self, why: str) -> None:
        if self._slots:
            self.restore()
            self._broke(why)

    def _blocks(self) -> Blocks:
        if self._compiling.on:
            raise Refused(TOGETHER)
        models = [
            module
            for root in self._roots.called()
            if root.owned and root.training_calls and (module := root.ref()) is not None
        ]
        for model in models:
            why_not = _why_closed(model)
            if why_not is not None:
                raise Refused(why_not)
        blocks = repeated_blocks(models)
        if blocks is None:
            raise Refused("the model has no repeated blocks that could be recomputed one by one")
        inside = [inner for module in blocks.modules for inner in module.modules()]
        if any(inner._forward_hooks or inner._forward_pre_hooks for inner in inside):
            raise Refused(f"{blocks.class_name} has hooks of the script, which would be called twice")
        if any(getattr(inner, slots.SLOT, None) is not None for inner in inside):
            raise Refused(f"calls inside {blocks.class_name} are intercepted by something else")
        return blocks


class _Block:
    """Runner of one block's calls; it checks the first ones."""

    def __init__(self, fail: Callable[[str], None]) -> None:
        self._fail = fail
        self._checks_left = CHECKED_CALLS
        self._given_up = False

    @passes_on
    def __call__(self, module: nn.Module, original: Callable[..., object], args: Any, kwargs: Any) -> object:
        import torch
        from torch.utils.checkpoint import checkpoint

        if not torch.is_grad_enabled():
            return original(*args, **kwargs)
        if self._checks_left:
            return self._check_call(module, original, args, kwargs)
        if self._given_up:
            return original(*args, **kwargs)
        args, kwargs = _without_cache(args, kwargs)
        return checkpoint(
            original, *args, use_reentrant=False, preserve_rng_state=True, context_fn=_contexts(module), **kwargs
        )

    @passes_on
    def _check_call(self, module: nn.Module, original: Callable[..., object], args: Any, kwargs: Any) -> object:
        """Run a first call as the script wrote it, and check whether it leaves a trace."""
        why = _holds_cache(module, args, kwargs)
        if why is None:
            args, kwargs = _without_cache(args, kwargs)
        before = _Trace(module)
        result = original(*args, **kwargs)
        why = why or before.left(module)
        self._checks_left = self._checks_left - 1 if why is not None else 0
        if why is not None and not self._checks_left:
            self._given_up = True
            self._fail(f"a call of {type(module).__name__} cannot be recomputed: {why}")
        return result


class _Trace:
    """State that a call could change beside its result."""

    def __init__(self, module: nn.Module) -> None:
        norms = {id(inner) for inner in _norms(module)}
        self._buffers = [
            (f"{name}.{key}".lstrip("."), inner, key, buffer, None if buffer is None else buffer._version)
            for name, inner in module.named_modules()
            if id(inner) not in norms
            for key, buffer in inner._buffers.items()
        ]
        self._plain = _plain(module)
        self._generators = _generators()

    def left(self, module: nn.Module) -> str | None:
        for name, inner, key, buffer, version in self._buffers:
            now = inner._buffers.get(key)
            if now is not buffer or (buffer is not None and buffer._version != version):
                return f"it changes its buffer {name}"
        plain = _plain(module)
        changed = [key for key in plain if repr(plain[key]) != repr(self._plain.get(key))]
        if changed:
            return f"it changes its attribute {changed[0]}"
        now = _generators()
        drawn = [name for name, state in self._generators.items() if now.get(name, state) != state]
        return f"it draws random numbers from {drawn[0]}" if drawn else None


def _plain(module: nn.Module) -> dict[str, object]:
    return {
        f"{name}.{key}".lstrip("."): value
        for name, inner in module.named_modules()
        for key, value in vars(inner).items()
        if isinstance(value, _PLAIN)
    }


def _generators() -> dict[str, object]:
    """Return the states of generators other than torch's that the script has imported."""
    states: dict[str, object] = {}
    if "random" in sys.modules:
        states["random"] = sys.modules["random"].getstate()
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        kind, keys, *rest = numpy.get_state()
        states["numpy"] = (kind, keys.tobytes(), *rest)
    return states


def _contexts(module: nn.Module) -> Callable[[], tuple[Any, Any]]:
    """Return a maker of the two contexts, around the first and the second run."""

    def contexts() -> tuple[object, object]:
        return nullcontext(), _averages_kept(module)

    return contexts


@contextmanager
def _averages_kept(module: nn.Module) -> Iterator[None]:
    """Give the second run of a normalisation copies of its running averages to change."""
    kept = []
    for norm in _norms(module):
        for key, buffer in list(norm._buffers.items()):
            if buffer is not None:
                kept.append((norm, key, buffer))
                norm._buffers[key] = buffer.clone()
    try:
        yield
    finally:
        for norm, key, buffer in kept:
            norm._buffers[key] = buffer


def _norms(module: nn.Module) -> list[Any]:
    """Return the modules that keep running averages, whose buffer versions do not show the change."""
    from torch.nn.modules.batchnorm import _NormBase

    return [inner for inner in module.modules() if isinstance(inner, _NormBase)]


def _is_cache(value: object) -> bool:
    return hasattr(value, "get_seq_length")


def _holds_cache(module: nn.Module, args: Any, kwargs: Any) -> str | None:
    """Return why a cache among the arguments forbids a second run; None for no cache, or an empty one of known name."""
    named = [*(zip(_argument_names(module), args) if any(map(_is_cache, args)) else ()), *kwargs.items()]
    for name, value in named:
        if _is_cache(value) and (name not in _CACHES or value.get_seq_length()):
            return f"it receives a cache ({type(value).__name__}), which recomputation would fill twice"
    return None


def _without_cache(args: Any, kwargs: Any) -> tuple[object, object]:
    """Remove the empty cache of transformers' blocks, which a training step fills and never reads."""
    if any(map(_is_cache, args)):
        args = tuple(None if _is_cache(value) else value for value in args)
    held = [name for name, value in kwargs.items() if _is_cache(value)]
    if held:
        kwargs = {**kwargs, **dict.fromkeys(held)}
    if kwargs.get("use_cache"):
        kwargs = {**kwargs, "use_cache": False}
    return args, kwargs


def _argument_names(module: nn.Module) -> list[str]:
    """Return the argument names of its forward, without `self`; empty for all but plain positional parameters."""
    parameters = inspect.signature(module.forward).parameters.values()
    return [parameter.name if parameter.kind is parameter.POSITIONAL_OR_KEYWORD else "" for parameter in parameters]


def _why_closed(model: nn.Module) -> str | None:
    for inner in model.modules():
        name = type(inner).__name__
        if name in _CLOSED or name.startswith("FSDP") or slots.compiled_by_script(inner):
            return f"the model contains {name}, whose calls cannot be changed"
        if checkpointed_by_script(inner):
            return f"the script already checkpoints {name}"
    return None


def facts(models: list[nn.Module], checkpointed: int) -> dict[str, object]:
    """Return the facts for the knob, fields of `types.ScriptFacts`; `checkpointed` calls of the script were seen."""
    blocks = repeated_blocks(models)
    own = checkpointed > 0 or any(checkpointed_by_script(inner) for model in models for inner in model.modules())
    return {
        "checkpointing": own,
        "repeated_blocks": blocks.describe() if blocks else None,
        "repeated_block_count": len(blocks.modules) if blocks else 0,
    }


def checkpointed_by_script(module: nn.Module) -> bool:
    return type(module).__name__ == "CheckpointWrapper" or getattr(module, "gradient_checkpointing", False) is True
