"""Result of a session."""

from __future__ import annotations

from dataclasses import dataclass, field

from .. import wire
from ..types import Failure
from .script_run_record import ScriptRunRecord

Outcome = wire.WindowDone | wire.WindowRefused


@dataclass(kw_only=True)
class SessionResult:
    """Everything that came back, in the order of arrival."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    windows: dict[str, wire.Window] = field(default_factory=dict)
    script_run_of: dict[str, int] = field(default_factory=dict)
    arrived_s: dict[str, float] = field(default_factory=dict)
    """Arrival of each window's report by `time.monotonic`, a moment after its last update."""
    between_s: list[float] = field(default_factory=list)
    """Seconds that the planner took from the last report of a batch of windows to sending the next."""
    script_runs: list[ScriptRunRecord] = field(default_factory=list)
    deadline_hit: bool = False
    interrupted: BaseException | None = None
    """Ctrl-C or SIGTERM; all measurements until then are kept."""
    changed_files: tuple[str, ...] = ()
    view_notes: tuple[str, ...] = ()
    not_planned: list[str] = field(default_factory=list)
    """Measurements that were asked for and cannot be made on this script, each a sentence with the reason."""
    ours: dict[int, str] = field(default_factory=dict)
    """Process → a sentence on the action of advisor that caused its failure: the script alone does not fail so."""
    unexplained: Failure | None = None
    """Failure of a process with changes, until the script has shown that it runs without them."""

    def refuse(self, name: str, script_run: ScriptRunRecord, kind: str, message: str) -> None:
        """Record that the process died in this window, or never reached it."""
        self.outcomes[name] = wire.WindowRefused(0, name, kind, message)
        self.script_run_of[name] = script_run.number
