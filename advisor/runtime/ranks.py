"""Ranks of a script run: what each has reported, where each stands, and whose failure was the first."""

from __future__ import annotations

import json
import re
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import wire
from .channel import LEADER, Disconnected
from .lost_partner import says_so
from .processes import exit_reason

OUT_OF_STEP = "out of step"
"""Reason of a rank that leaves because rank 0 does not come to the same update."""
LAST_OF_RANKS_S = 10.0
"""Seconds from the death of one rank to the end of all: a launcher ends the others within one, unless the dying rank
hangs in its own exit."""
_PORT_TAKEN = re.compile("EADDRINUSE|address already in use", re.IGNORECASE)


@dataclass(kw_only=True)
class RankRecord:
    """Reports of one rank."""

    rank: int
    hello: wire.Hello
    facts: wire.Facts | None = None
    goodbye: wire.Goodbye | None = None
    windows: dict[str, wire.WindowDone] = field(default_factory=dict)
    updates: int = 0
    events: int = 0
    at: str = ""
    """Place at which its training thread stands still; "" while it goes on."""
    is_lost: bool = False
    """True if it ended without a word."""


@dataclass(kw_only=True)
class RankRecords:
    """Records of all ranks that have connected; a script without a launcher has one."""

    records: dict[int, RankRecord] = field(default_factory=dict)
    crashes: list[wire.Crashed] = field(default_factory=list)
    """In the order of arrival."""
    failed_at_s: float | None = None
    """Time (`time.monotonic`) at which the first rank crashed or was lost."""

    @property
    def world_size(self) -> int:
        return max((record.hello.world_size for record in self.records.values()), default=1)

    @property
    def processes(self) -> int:
        """Processes of which each uses a little CPU time even while all of them wait, a launcher included."""
        return 1 if self.world_size == 1 else 2 * self.world_size + 1

    @property
    def others(self) -> list[RankRecord]:
        """Ranks besides the one that leads, in their order."""
        return [record for rank, record in sorted(self.records.items()) if rank != LEADER]

    def take(self, message: Any) -> bool:
        """Note a message; return True if it is the business of this class alone, as another rank's windows are."""
        if isinstance(message, wire.Hello) and (message.rank not in self.records or message.connection == 0):
            self.records[message.rank] = RankRecord(rank=message.rank, hello=message)
        record = self.records.get(getattr(message, "rank", -1))
        if record is None:
            return False
        match message:
            case wire.Beat():
                record.at = message.at
                record.events, record.updates = message.events, max(record.updates, message.updates)
            case wire.Facts():
                record.facts = message
            case wire.WindowDone():
                record.windows[message.id] = message
            case wire.Goodbye():
                record.goodbye, record.updates = message, max(record.updates, message.updates)
                if message.reason == OUT_OF_STEP:
                    self._failed()
            case wire.Crashed():
                self.crashes.append(message)
                self._failed()
            case Disconnected():
                record.is_lost = record.goodbye is None
                if record.is_lost and self.world_size > 1:
                    self._failed()
            case _:
                pass
        return record.rank != LEADER and not isinstance(message, wire.Note | Disconnected)

    def _failed(self) -> None:
        if self.failed_at_s is None:
            self.failed_at_s = time.monotonic()

    @property
    def all_said_goodbye(self) -> bool:
        """True once every rank that had connected has ended with its last message."""
        return all(record.goodbye is not None for record in self.records.values())

    def is_overdue(self) -> bool:
        """Return True if a rank has died, and the others have had their time to follow."""
        died = self.failed_at_s is not None and self.world_size > 1
        return died and time.monotonic() - (self.failed_at_s or 0.0) > LAST_OF_RANKS_S

    def whereabouts(self) -> str:
        """Describe where each rank stands, as the end of a sentence; "" for a single one."""
        if self.world_size == 1:
            return ""
        missing = [rank for rank in range(self.world_size) if rank not in self.records]
        seen = [_whereabouts(record) for _rank, record in sorted(self.records.items())]
        return f" ({'; '.join((*seen, *(f'rank {rank} never came' for rank in missing)))})"

    def first_crash(self, report: Path) -> wire.Crashed | None:
        """Return the first error of a rank that was not another rank's; None if the first to fail said nothing."""
        own = [crash for crash in self.crashes if not _is_by_another(crash)]
        if own or self.killed(report) is not None:
            return own[0] if own else None
        return self.crashes[0] if self.crashes else None

    def left_alone(self, crash: wire.Crashed | None) -> str | None:
        """Describe a crash that only says that another rank is gone, where that one had ended its loop normally."""
        if crash is None or not _is_by_another(crash):
            return None
        ended = [one for one in self.records.values() if one.goodbye is not None and one.goodbye.reason == "finished"]
        if not ended:
            return None
        first, last = ended[0], self.records[crash.rank].updates
        return (
            f"rank {first.rank} ended after {first.updates} updates, and rank {crash.rank} waited for it in vain after "
            f"{last}: their loops must have the same length (same number of batches, `drop_last`, or `model.join()`)"
        )

    def killed(self, report: Path) -> tuple[int, int] | None:
        """Return (rank, exit code) of the rank that, by the launcher's report, died first and without a word."""
        spoke = {crash.rank for crash in self.crashes}
        for failed in _read(report).get("ranks", ()):
            if failed["exit_code"] and failed["rank"] not in spoke:
                return int(failed["rank"]), int(failed["exit_code"])
        return None


def failure_of_ranks(ranks: RankRecords, report: Path, launcher: str) -> tuple[str, str] | None:
    """Return kind and message of a failure that no exception of a rank explains; None if one does, or nothing failed.

    `report` is what the launcher has written.
    """
    apart = [one for one in ranks.others if one.goodbye is not None and one.goodbye.reason == OUT_OF_STEP]
    if apart and LEADER in ranks.records:
        return "refused", (
            f"rank {apart[0].rank} had made {apart[0].updates} updates when rank {LEADER} had made "
            f"{ranks.records[LEADER].updates}: ranks that count unlike updates cannot be measured together"
        )
    left = ranks.left_alone(ranks.first_crash(report))
    if left is not None:
        return "exit", left
    killed = ranks.killed(report)
    if killed is not None:
        return "oom" if killed[1] == -int(signal.SIGKILL) else "exit", f"rank {killed[0]} {exit_reason(killed[1])}"
    if ranks.crashes:
        return None
    error = launcher_error(report)
    if error is not None:
        advice = ": another training uses the port; leave out --master-port, or give a free one"
        return "exit", f"{launcher} raised {error.splitlines()[0]}{advice if _PORT_TAKEN.search(error) else ''}"
    lost = [record.rank for record in ranks.records.values() if record.is_lost]
    return ("exit", f"rank {lost[0]} ended without a word") if lost and ranks.world_size > 1 else None


def launcher_error(report: Path) -> str | None:
    """Return the launcher's own error, such as a taken port; None if it had none, or only passes a rank's on."""
    found = _read(report)
    return None if not found or found.get("ranks") else str(found.get("error", "")).strip() or None


def _whereabouts(record: RankRecord) -> str:
    name = f"rank {record.rank}"
    if record.goodbye is not None:
        return f"{name} has ended after {record.updates} updates"
    if record.is_lost:
        return f"{name} is gone"
    return f"{name} is at {record.at or 'an unknown line'} after {record.updates} updates"


def _is_by_another(crash: wire.Crashed) -> bool:
    return any(map(says_so, crash.exceptions))


def _read(report: Path) -> dict[str, Any]:
    try:
        found = json.loads(report.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
