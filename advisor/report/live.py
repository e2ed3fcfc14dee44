"""Progress on stderr: the current work, its duration, the windows done, and the time left."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from ..plural import plural
from ..redaction import Redactor
from . import format

SILENT_AT_MOST_S = 5.0
"""Longest silence where nothing can move: a line then says that the work continues."""


class LiveProgress:
    """Progress as one moving line in a terminal, or as plain lines, one per stage, elsewhere (a log, a CI job).

    Implements `advisor.progress.Progress`. Use it as a context manager, or call `close()`.
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        redactor: Redactor | None = None,
    ) -> None:
        self._redactor = redactor or Redactor()
        self._console = console if console is not None else Console(stderr=True)
        self._moves = self._console.is_terminal and not self._console.is_dumb_terminal
        self._clock = clock
        self._started = self._last_line = clock()
        self._best = ""
        self._what = ""
        self._windows: int | None = None
        self._done = 0
        self._left_s: Callable[[], float] | None = None
        self._measuring = False
        self._task: TaskID | None = None
        self._display = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            _TextOf(self._windows_left),
            TimeElapsedColumn(),
            _TextOf(self._time_left),
            TextColumn("{task.fields[best]}", markup=False, style="green"),
            console=self._console,
            transient=True,
        )

    def stage(self, what: str, *, windows: int | None = None) -> None:
        """Start a new stage, which replaces the previous one."""
        self._measuring = self._measuring or windows is not None
        # If time limits the work, more windows are planned as others come in.
        self._windows = windows if self._left_s is None else None
        self._what, self._done = self._shown(what), 0
        if not self._moves:
            count = "" if self._windows is None else f" ({plural(self._windows, 'window')})"
            self._line(f"{self._what}{count}{self._behind()}")
            return
        self._display.start()
        if self._task is not None:
            self._display.remove_task(self._task)
        self._task = self._display.add_task(self._what, total=self._windows, best=self._best)

    def window_done(self, what: str = "") -> None:
        self._done += 1
        if self._task is not None:
            description = f"{self._what}: {self._shown(what)}" if what else self._what
            self._display.update(self._task, advance=1, description=description)
        elif not self._moves and self._left_s is not None and self._clock() - self._last_line >= SILENT_AT_MOST_S:
            self._line(f"{self._what}: {plural(self._done, 'window')} done{self._behind()}")

    def best(self, text: str) -> None:
        self._best = f"best so far {self._shown(text)}"
        if self._task is not None:
            self._display.update(self._task, best=self._best)
        elif not self._moves:
            self._line(self._best)

    def time_left(self, left_s: Callable[[], float]) -> None:
        """Show the seconds from `left_s` as they run down, from the first stage with windows on."""
        self._left_s = left_s

    def note(self, text: str) -> None:
        self._line(self._shown(text))

    def close(self) -> None:
        """Remove the moving line; notes stay."""
        if self._task is not None:
            self._display.stop()
            self._task = None

    def __enter__(self) -> LiveProgress:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _windows_left(self) -> str:
        if self._windows is not None:
            return f"{self._done}/{self._windows}"
        return plural(self._done, "window") if self._done else ""

    def _time_left(self) -> str:
        if self._left_s is None or not self._measuring:
            return ""
        left = f"{max(0.0, self._left_s()):.0f}"
        return f"{left} s left" if left != "0" else "an update has to end first"

    def _behind(self) -> str:
        left = self._time_left()
        return f"; {left}" if left else ""

    def _shown(self, text: str) -> str:
        return format.one_line(self._redactor.text(text))

    def _line(self, text: str) -> None:
        self._last_line = self._clock()
        elapsed = self._last_line - self._started
        try:
            self._console.print(Text(f"[{elapsed:5.1f} s] {text}"), highlight=False, soft_wrap=True)
        except BrokenPipeError:
            raise
        except OSError:  # a full disk: what is measured is worth more than these lines
            pass


class _TextOf(ProgressColumn):
    """A column that asks for its text whenever the line is drawn."""

    def __init__(self, text: Callable[[], str]) -> None:
        super().__init__()
        self._text = text

    def render(self, _task: Task) -> Text:
        return Text(self._text())
