"""The handles that knobs and what-ifs work with, and the configuration that stands at the moment."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any, Callable

from .accumulation import Accumulation
from .checkpointing import Checkpointing
from .clock import StepClock
from .compiling import Compiling
from .learning_rates import Factor, LearningRates
from .memory_format import MemoryFormat
from .optimizer_form import OptimizerForm
from .refused import Refused
from .roots import Roots
from .steps import Steps


@dataclass
class Bench:
    """Mutable on purpose: it is the running script as the agent sees it."""

    clock: StepClock
    roots: Roots
    steps: Steps
    loaders: Any
    """`loader.LoaderHooks`."""
    device: Any = None
    precision: Any = None
    """`precision.Precision`."""
    micro_steps: int = 0
    """Backwards that made up the last update as the script counts them; 0 before there was one."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What differs from the script as written just now."""
    memory_format: MemoryFormat = field(init=False)
    optimizer_form: OptimizerForm = field(init=False)
    saved: dict[str, Any] = field(default_factory=dict)
    """Knob id → what that knob needs to take itself back exactly; kept by the knobs themselves."""

    broken: dict[str, str] = field(default_factory=dict)
    """Settings that were taken, then failed in the script's own code, and took themselves back; with the reason."""
    on_broken: Callable[[str, str], None] | None = None
    """Told of such a setting at once, in place of `broken`."""

    def __post_init__(self) -> None:
        self.memory_format = MemoryFormat(self.roots, self.steps)
        self.optimizer_form = OptimizerForm(self.steps)
        self.accumulation = Accumulation(
            self.clock, self.roots, self.steps, self.loaders, lambda why: self.broke("micro_batch", why)
        )
        self.compiling = Compiling(self.roots, self.clock, lambda why: self.broke("compile", why))
        self.checkpointing = Checkpointing(
            self.roots, self.compiling, lambda why: self.broke("activation_checkpointing", why)
        )

    def saw_update(self, micro_steps: int) -> None:
        """An update has ended; parts of a batch are no micro-steps of the script's."""
        if not self.accumulation.on:
            self.micro_steps = micro_steps

    def scale_rates(self, factor: Factor | None) -> None:
        """What learning rates are multiplied by from the next step on; None leaves them as written."""
        self.steps.rates = LearningRates(factor) if factor is not None else None

    def broke(self, name: str, why: str) -> None:
        """A setting has failed within an update; it must not raise into the script."""
        if self.on_broken is not None:
            self.on_broken(name, why)
        else:
            self.broken[name] = why

    def take_broken(self) -> str | None:
        """Why the settings that stand cannot be kept; they are all taken back then."""
        if not self.broken:
            return None
        told = "; ".join(f"{name}={self.settings.get(name)}: {why}" for name, why in self.broken.items())
        self.broken = {}
        self.set_config({})
        return told

    def micro_batch_of(self, global_batch: int) -> int:
        """Samples a micro-batch, so that an update takes `global_batch` of them over all ranks."""
        parts = max(1, self.micro_steps) * _world_size()
        if global_batch % parts:
            raise Refused(f"global_batch={global_batch} cannot be divided into {parts} micro-batches of one size")
        return global_batch // parts

    def set_config(self, wanted: dict[str, Any]) -> bool:
        """Apply the settings wanted and take back all others; True where anything changed.

        Raises Refused with the knob's reason; everything is then back as written.
        """
        from .. import knobs

        if wanted == self.settings:
            return False
        try:
            with self.loaders.together():
                for name in [name for name in self.settings if name not in wanted]:
                    knobs.get(name).restore(self)
                    del self.settings[name]
                for name, value in wanted.items():
                    if self.settings.get(name, _MISSING) != value:
                        # A knob of the loader is refused only once all are known: it must be taken back, too.
                        self.settings[name] = value
                        knobs.get(name).apply(self, value)
        except Refused:
            with self.loaders.together():
                for name in list(self.settings):
                    knobs.get(name).restore(self)
                self.settings.clear()
            raise
        self.compiling.beside(self.settings)
        return True


_MISSING = object()


def _world_size() -> int:
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return 1
    return int(distributed.get_world_size())
