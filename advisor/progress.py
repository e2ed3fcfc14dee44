"""Progress reports on the current work; silent unless somebody listens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Progress(Protocol):
    """Receiver of progress reports, passed to everything that takes time. No call may fail or block."""

    def stage(self, what: str, *, windows: int | None = None) -> None:
        """Report that something new begins, such as "starting train.py", with its number of windows if known."""

    def window_done(self, what: str = "") -> None:
        """Report that one window of the stage has ended; `what` names the next one."""

    def best(self, text: str) -> None:
        """Report the best setting so far, for example "1.8× with num_workers=2"."""

    def time_left(self, left_s: Callable[[], float]) -> None:
        """Set the function that returns the seconds left, once windows are being measured."""

    def note(self, text: str) -> None:
        """Show something that the user should read now and that stays on the screen."""

    def close(self) -> None:
        """End the reports; may be called more than once."""


class SilentProgress:
    """A receiver that ignores every report."""

    def stage(self, what: str, *, windows: int | None = None) -> None: ...

    def window_done(self, what: str = "") -> None: ...

    def best(self, text: str) -> None: ...

    def time_left(self, left_s: Callable[[], float]) -> None: ...

    def note(self, text: str) -> None: ...

    def close(self) -> None: ...


class NotesOnly(SilentProgress):
    """A receiver that passes on notes alone, for parts of a work whose stages are announced by the whole."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def note(self, text: str) -> None:
        self._progress.note(text)


SILENT: Progress = SilentProgress()
