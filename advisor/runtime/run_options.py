"""Options of running the user's script: the keywords that the functions of the API share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..number_range import check_positive
from ..progress import SILENT, Progress
from ..spelling import option_words
from ..storage import run_store


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on every wait, in seconds."""

    start_s: float = 900.0
    """Seconds until the first update: data may be prepared, models compiled."""
    no_progress_s: float = 120.0
    """Seconds without a batch, forward or update once the loop has begun; with an idle process, also before."""
    memory_bytes: int | None = None
    """Memory of the whole process tree; the script is ended if it uses more."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options as the user gives them; None asks for the usual value."""

    isolation: str = "auto"
    runs: str | os.PathLike[str] | None = None
    start_limit_s: float | None = None
    no_progress_limit_s: float | None = None
    memory_limit_bytes: int | None = None
    trackers_offline: bool = True
    python: str | None = None
    progress: Progress = SILENT
    updates: float | None = None
    """Length of the training in updates, which schedules of the learning rate need."""
    metric: str = ""
    """Name under which the script prints the number that judges it, in place of a loss."""

    def __post_init__(self) -> None:
        """Raise UsageError for a limit that nothing can keep."""
        check_positive(
            start_limit_s=self.start_limit_s,
            no_progress_limit_s=self.no_progress_limit_s,
            memory_limit_bytes=self.memory_limit_bytes,
        )

    def typed(self) -> tuple[str, ...]:
        """Return the words of a command line that give these options, but for usual values."""
        return option_words(
            [
                ("python", self.python),
                ("isolation", None if self.isolation == RunOptions.isolation else self.isolation),
                ("runs", None if self.runs is None else os.fspath(self.runs)),
                ("start-limit", self.start_limit_s),
                ("no-progress-limit", self.no_progress_limit_s),
                ("memory-limit", None if self.memory_limit_bytes is None else self.memory_limit_bytes / 2**30),
                ("trackers", not self.trackers_offline),
            ]
        )

    @property
    def root(self) -> Path:
        """Folder that holds the runs."""
        return run_store.runs_root(Path(self.runs) if self.runs is not None else None)

    @property
    def scratch(self) -> Path:
        """Folder for what views hold; one for each user, since several may share the folder of runs."""
        return self.root / f"scratch-{os.getuid()}"

    @property
    def limits(self) -> Limits:
        return Limits(
            start_s=Limits.start_s if self.start_limit_s is None else self.start_limit_s,
            no_progress_s=Limits.no_progress_s if self.no_progress_limit_s is None else self.no_progress_limit_s,
            memory_bytes=self.memory_limit_bytes,
        )
