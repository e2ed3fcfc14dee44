"""How the work tells what it is doing; silent unless somebody listens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Progress(Protocol):
    """Injected into everything that takes its time. No call may fail, and none may be waited for."""

    def stage(self, what: str, *, windows: int | None = None) -> None:
        """Something new is being done, for example "starting train.py"; with the number of its windows where known."""

    def window_done(self, what: str = "") -> None:
        """One window of the stage has ended; `what` names the one that begins."""

    def best(self, text: str) -> None:
        """The best setting so far, for example "1.8× with num_workers=2"."""

    def time_left(self, left_s: Callable[[], float]) -> None:
        """What is asked for the seconds that are left, once windows are being measured."""

    def note(self, text: str) -> None:
        """Something that the user should read now, and that stays on the screen."""

    def close(self) -> None:
        """All is done; may be called more than once."""


class SilentProgress:
    """Hears everything and says nothing."""

    def stage(self, what: str, *, windows: int | None = None) -> None: ...

    def window_done(self, what: str = "") -> None: ...

    def best(self, text: str) -> None: ...

    def time_left(self, left_s: Callable[[], float]) -> None: ...

    def note(self, text: str) -> None: ...

    def close(self) -> None: ...


SILENT: Progress = SilentProgress()
