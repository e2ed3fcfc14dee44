"""Record that a script run leaves behind, however it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .. import wire
from ..types import Failure, OtherProgram, UsagePoint
from .device_watch import DeviceWatch
from .ranks import RankRecords
from .usage import SystemUsage


@dataclass(kw_only=True)
class ScriptRunRecord:
    """Reports, use of the machine and end of one script run; of several ranks, those of rank 0."""

    number: int
    started: str
    hello: wire.Hello | None = None
    ready: wire.Ready | None = None
    goodbye: wire.Goodbye | None = None
    crashed: wire.Crashed | None = None
    facts: wire.Facts | None = None
    so_far: wire.WindowDone | None = None
    """The latest report of a window that had not ended."""
    notes: list[wire.Note] = field(default_factory=list)
    usage: list[UsagePoint] = field(default_factory=list)
    updates: int = 0
    events: int = 0
    elapsed_s: float = 0.0
    first_update_at_s: float | None = None
    """Seconds from the process' start until the first update was known to have ended."""
    exit_code: int | None = None
    failure: Failure | None = None
    left_processes: tuple[int, ...] = ()
    end: str = "running"
    system_begin: SystemUsage | None = None
    system_end: SystemUsage | None = None
    tree_cpu_s: float = 0.0
    watched_s: float = 0.0
    """Seconds between `system_begin` and `system_end`."""
    other_programs: tuple[OtherProgram, ...] = ()
    """Those that kept the CPUs busy meanwhile."""
    devices: DeviceWatch | None = None
    ranks: RankRecords = field(default_factory=RankRecords)

    def keep(self, message: Any) -> None:
        """Keep a report of rank 0, and the notes of all."""
        match message:
            case wire.Hello():
                self.hello = message
            case wire.Ready():
                self.ready = message
            case wire.Note():
                self.notes.append(message)
            case wire.Facts():
                self.facts = message
            case wire.Crashed():
                self.crashed = message
            case wire.SoFar():
                self.so_far = message.done
            case wire.Goodbye():
                self.goodbye = message
            case _:
                pass
