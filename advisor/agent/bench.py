"""The handles that knobs and what-ifs work with, and the configuration that stands at the moment."""

from __future__ import annotations

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
    settings: dict[str, Any] = field(default_factory=dict)
    """What differs from the script as written just now."""

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
