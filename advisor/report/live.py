"""Progress on stderr: what is being done, for how long, and how many windows are done."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from . import words


class LiveProgress:
    """Draws one line that moves in a terminal; plain lines, one a stage, where nothing can move (a log, a CI job).

    Fits `advisor.progress.Progress`. Use it as a context manager, or call `close()`.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console if console is not None else Console(stderr=True)
        self._moves = self._console.is_terminal and not self._console.is_dumb_terminal
        self._started = time.monotonic()
        self._best = ""
        self._what = ""
        self._task: TaskID | None = None
        self._display = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[best]}", markup=False, style="green"),
            console=self._console,
            transient=True,
        )

    def stage(self, what: str, *, windows: int | None = None) -> None:
        """A new stage takes the place of the one before."""
        self._what = words.one_line(what)
        if not self._moves:
            count = "" if windows is None else f" ({words.plural(windows, 'window')})"
            self._line(f"{self._what}{count}")
            return
        self._display.start()
        if self._task is not None:
            self._display.remove_task(self._task)
        self._task = self._display.add_task(self._what, total=windows, best=self._best)

    def window_done(self, what: str = "") -> None:
        if self._task is None:
            return
        description = f"{self._what}: {words.one_line(what)}" if what else self._what
        self._display.update(self._task, advance=1, description=description)

    def best(self, text: str) -> None:
        self._best = f"best so far {words.one_line(text)}"
        if self._task is not None:
            self._display.update(self._task, best=self._best)
        elif not self._moves:
            self._line(self._best)

    def note(self, text: str) -> None:
        self._line(words.one_line(text))

    def close(self) -> None:
        """Takes the moving line away; what was noted stays."""
        if self._task is not None:
            self._display.stop()
            self._task = None

    def __enter__(self) -> LiveProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _line(self, text: str) -> None:
        elapsed = time.monotonic() - self._started
        self._console.print(Text(f"[{elapsed:5.1f} s] {text}"), highlight=False, soft_wrap=True)
