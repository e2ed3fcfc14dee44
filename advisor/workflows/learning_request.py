"""A checked request for a search by losses, and the options that a resumed one must share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..redaction import Redactor
from ..types import Command, Config, LearningObjective

if TYPE_CHECKING:
    from ..search.training import Horizon


@dataclass(frozen=True, kw_only=True)
class LearningRequest:
    """A checked request for a search by losses, before anything is run."""

    command: Command
    objective: LearningObjective
    horizon: Horizon
    budget_s: float | None = None
    """Seconds for all trainings after that of the script as written; None for those of the plan."""
    always: Config = field(default_factory=Config)
    """Settings of all trainings, the baseline's too."""
    only: Sequence[str] | None = None
    without: Sequence[str] = ()
    verify: bool = True
    metric: str = ""
    """Name under which the script prints the number that judges a training; empty for its losses."""

    def as_kept(self) -> dict[str, Any]:
        """Return the options that a resumed search must share with the original one; its budget may differ."""
        command = self.command
        return {
            "script": command.target,
            "module": command.is_module,
            "arguments": list(Redactor().words(command.args)),
            "folder": command.cwd,
            "interpreter": command.interpreter,
            "objective": self.objective,
            "horizon": self.horizon.text,
            "always": self.always.as_dict(),
            "knobs": None if self.only is None else list(self.only),
            "no_knobs": list(self.without),
            **({"metric": self.metric} if self.metric else {}),
        }
