"""What a session brings back."""

from __future__ import annotations

from dataclasses import dataclass, field

from .. import wire
from ..types import Failure
from .life import LifeRecord

Outcome = wire.WindowDone | wire.WindowRefused


@dataclass(kw_only=True)
class SessionResult:
    """Everything that came back, in the order it came."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    windows: dict[str, wire.Window] = field(default_factory=dict)
    life_of: dict[str, int] = field(default_factory=dict)
    arrived_s: dict[str, float] = field(default_factory=dict)
    """When each window's report came in, by `time.monotonic`; a moment after its last update."""
    between_s: list[float] = field(default_factory=list)
    """From the report that ended a batch of windows to the next ones sent: what the planner took."""
    lives: list[LifeRecord] = field(default_factory=list)
    deadline_hit: bool = False
    interrupted: BaseException | None = None
    """Ctrl-C or SIGTERM: what had been measured until then is here all the same."""
    changed_files: tuple[str, ...] = ()
    view_notes: tuple[str, ...] = ()
    ours: dict[int, str] = field(default_factory=dict)
    """Process → what of advisor's doing its failure is charged to, in a sentence: the script alone does not fail so."""
    unexplained: Failure | None = None
    """Of a process in which something had been changed, as long as the script has not shown that it runs without."""

    def refuse(self, name: str, life: LifeRecord, kind: str, message: str) -> None:
        """The process died in this window, or never came to it."""
        self.outcomes[name] = wire.WindowRefused(0, name, kind, message)
        self.life_of[name] = life.number
