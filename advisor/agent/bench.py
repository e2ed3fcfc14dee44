"""The handles that knobs and what-ifs work with, and the configuration that stands at the moment."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

from .clock import StepClock
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
    """Backwards that made up the last update; 0 before there was one."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What differs from the script as written just now."""

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
            for name in [name for name in self.settings if name not in wanted]:
                knobs.get(name).restore(self)
                del self.settings[name]
            for name, value in wanted.items():
                if self.settings.get(name, _MISSING) != value:
                    knobs.get(name).apply(self, value)
                    self.settings[name] = value
        except Refused:
            for name in list(self.settings):
                knobs.get(name).restore(self)
            self.settings.clear()
            raise
        return True


_MISSING = object()


def _world_size() -> int:
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return 1
    return int(distributed.get_world_size())
