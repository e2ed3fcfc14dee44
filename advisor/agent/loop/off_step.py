"""Work beside the steps: checkpoints and logging as their own phases."""

from __future__ import annotations

import functools
import sys
from typing import Any, Callable, NamedTuple

from ..base import dynamo, imports
from ..base.pass_through import stands_for
from ..base.patches import Patches
from .clock import CHECKPOINT, LOGGING, StepClock


class _Target(NamedTuple):
    """Functions of a module, or methods of a class in it. A name ending in `*` matches all with that prefix."""

    module: str
    owner: str
    names: tuple[str, ...]
    phase: int
    wants: Callable[[tuple[object, ...]], bool] | None = None
    """Predicate on the arguments of a call that counts; None accepts all."""


MAX_INSPECTED = 8
"""Dictionary entries to check when distinguishing a training state from other data."""


def _is_training_state(args: tuple[object, ...]) -> bool:
    torch = sys.modules.get("torch")
    value = args[0] if args else None
    if torch is None or value is None:
        return False
    if isinstance(value, (torch.nn.Module, torch.optim.Optimizer)):
        return True
    if not isinstance(value, dict):
        return False
    inside = list(value.values())[:MAX_INSPECTED]
    inside += [item for entry in inside if isinstance(entry, dict) for item in list(entry.values())[:MAX_INSPECTED]]
    return any(isinstance(item, (torch.Tensor, torch.nn.Module)) for item in inside)


_TARGETS = (
    _Target("torch", "", ("save",), CHECKPOINT),
    _Target("torch.serialization", "", ("save",), CHECKPOINT),
    _Target("torch.distributed.checkpoint", "", ("save", "async_save"), CHECKPOINT),
    _Target("safetensors.torch", "", ("save_file", "save_model"), CHECKPOINT),
    _Target("transformers.modeling_utils", "PreTrainedModel", ("save_pretrained",), CHECKPOINT),
    _Target("transformers.trainer", "Trainer", ("_save_checkpoint",), CHECKPOINT),
    _Target("lightning.pytorch.trainer.trainer", "Trainer", ("save_checkpoint",), CHECKPOINT),
    _Target("pytorch_lightning.trainer.trainer", "Trainer", ("save_checkpoint",), CHECKPOINT),
    _Target("accelerate.accelerator", "Accelerator", ("save_state", "save_model"), CHECKPOINT),
    _Target("pickle", "", ("dump",), CHECKPOINT, _is_training_state),
    _Target("builtins", "", ("print",), LOGGING),
    _Target("logging", "Logger", ("callHandlers",), LOGGING),
    _Target("json", "", ("dump",), LOGGING),
    _Target("csv", "DictWriter", ("writerow", "writerows"), LOGGING),
    # Not `update`: every step calls it, and it nearly always returns at once; its drawing goes through these.
    _Target("tqdm.std", "tqdm", ("display", "refresh"), LOGGING),
    _Target("tqdm.notebook", "tqdm_notebook", ("display",), LOGGING),
    _Target("torch.utils.tensorboard.writer", "SummaryWriter", ("add_*", "flush"), LOGGING),
    _Target("tensorboardX.writer", "SummaryWriter", ("add_*", "flush"), LOGGING),
    _Target("wandb.sdk.wandb_run", "Run", ("log",), LOGGING),
    _Target("mlflow.tracking.client", "MlflowClient", ("log_*",), LOGGING),
    _Target("matplotlib.figure", "Figure", ("savefig",), LOGGING),
    _Target("torchvision.utils", "", ("save_image",), LOGGING),
    _Target("PIL.Image", "Image", ("save",), LOGGING),
)


class OffStep:
    """Wrappers around writing functions; one that somebody has kept stays harmless."""

    def __init__(self, clock: StepClock) -> None:
        self._clock = clock
        self._patches = Patches()
        self._wrappers: dict[tuple[int, str], tuple[Any, Any]] = {}
        self._wanted = False
        self.on = False

    def install(self) -> None:
        """Wrap targets in modules already imported, and the others on import."""
        self._wanted = True
        self.resume()
        for name in {target.module for target in _TARGETS}:
            if name not in sys.modules:
                imports.when_imported(name, functools.partial(self._imported, name))
        imports.when_imported("torch._dynamo.trace_rules", dynamo.hide)

    def suspend(self) -> None:
        """Put all originals back until `resume`."""
        self.on = False
        self._patches.restore()

    def resume(self) -> None:
        if self.on or not self._wanted:
            return
        self.on = True
        for target in _TARGETS:
            self._wrap(target)

    def remove(self) -> None:
        self._wanted = False
        self.suspend()

    def _imported(self, name: str, *_module: Any) -> None:
        if self.on:
            for target in _TARGETS:
                if target.module == name:
                    self._wrap(target)

    def _wrap(self, target: _Target) -> None:
        module = sys.modules.get(target.module)
        owner = getattr(module, target.owner, None) if target.owner else module
        if owner is None:
            return
        for pattern in target.names:
            names = [n for n in vars(owner) if n.startswith(pattern[:-1])] if pattern.endswith("*") else [pattern]
            for name in names:
                original = vars(owner).get(name)
                if callable(original) and not self._is_ours(owner, name, original):
                    self._patches.replace(owner, name, functools.partial(self._wrapper, target, owner, name))

    def _is_ours(self, owner: object, name: str, found: object) -> bool:
        known = self._wrappers.get((id(owner), name))
        return known is not None and known[1] is found

    def _wrapper(self, target: _Target, owner: object, name: str, original: Any) -> object:
        """Return the same object every time, so that a name kept by a user's module stays the installed one."""
        known = self._wrappers.get((id(owner), name))
        if known is None or known[0] is not original:
            known = self._wrappers[id(owner), name] = (original, self._timed(original, target.phase, target.wants))
        return known[1]

    def _timed(self, original: Any, phase: int, wants: Callable[[tuple[Any, ...]], bool] | None) -> Any:
        clock = self._clock

        @stands_for(original, in_c=True)
        def call(*args: object, **kwargs: object) -> object:
            if not self.on or clock.paused or not clock.mine() or clock.phase in (CHECKPOINT, LOGGING):
                return original(*args, **kwargs)
            if wants is not None and not wants(args):
                return original(*args, **kwargs)
            clock.push(phase)
            try:
                return original(*args, **kwargs)
            finally:
                clock.pop()

        return call
