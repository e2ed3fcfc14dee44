"""Processes that prepare themselves side by side and are then timed one at a time, each when it is told to."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

READY = "ready"
RESULT = "RESULT "
LOOK_S = 1.0
END_S = 6.0
"""For a script to end by itself once its input has."""
MOST_CHARACTERS = 160


class FailedError(Exception):
    """A process that ended, or was not ready in time; the message fits a cell of a table."""


class GatedProcess:
    """A script that prints `ready` whenever it waits, and a result for each line that it is given."""

    def __init__(self, words: Sequence[str], *, folder: Path, env: Mapping[str, str]) -> None:
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".stderr", delete=False) as errors:
            self._errors = Path(errors.name)
            self._process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, cwd=folder, env=env, text=True
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders, self._lines = self._process.stdin, self._process.stdout
        self._said: queue.Queue[str | None] = queue.Queue()
        self._waits = False
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def stderr(self) -> str:
        return self._errors.read_text(errors="replace")

    def await_ready(self, until_s: float) -> None:
        """Return when it waits for a line; `until_s` is a time of `time.monotonic`."""
        while not self._waits:
            self._waits = self._next(until_s, "was not ready") == READY

    def turn(self, word: str, until_s: float) -> dict[str, Any]:
        """What came of a line."""
        self.await_ready(until_s)
        self._waits = False
        try:
            self._orders.write(word + "\n")
            self._orders.flush()
        except OSError:
            raise FailedError(self._why()) from None
        while True:
            said = self._next(until_s, "gave no result")
            if said.startswith(RESULT):
                found: dict[str, Any] = json.loads(said.removeprefix(RESULT))
                return found

    def ask_to_end(self) -> None:
        """Close its input: a script that waits ends then."""
        with contextlib.suppress(OSError):
            self._orders.close()

    def end(self, until_s: float) -> None:
        """Wait until it is gone, and make it go where it is not by then."""
        self.ask_to_end()
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                self._process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=max(0.1, until_s - time.monotonic()))
                self._listener.join(timeout=LOOK_S)
                return
            until_s = time.monotonic() + END_S / 2

    def _next(self, until_s: float, lacking: str) -> str:
        while True:
            left_s = until_s - time.monotonic()
            try:
                said = self._said.get(timeout=max(0.0, min(LOOK_S, left_s)))
            except queue.Empty:
                if self._process.poll() is not None:  # its children may hold the pipe open
                    raise FailedError(self._why()) from None
                if left_s <= LOOK_S:
                    raise FailedError(f"{lacking} in time") from None
                continue
            if said is None:
                raise FailedError(self._why())
            return said

    def _why(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=END_S)
        return last_line(self.stderr) or f"ended with exit code {self._process.returncode}"

    def _listen(self) -> None:
        with self._lines as lines:
            for line in lines:
                if line.startswith(RESULT) or line.strip() == READY:
                    self._said.put(line.strip())
        self._said.put(None)


def end_all(processes: Iterable[GatedProcess]) -> None:
    """End them all at once; they have some seconds to do so by themselves."""
    ending, until_s = list(processes), time.monotonic() + END_S
    for process in ending:
        process.ask_to_end()
    for process in ending:
        process.end(until_s)


def last_line(text: str) -> str:
    """The last line that says something, cut to what fits a cell."""
    lines = [" ".join(line.split()).replace("|", "/") for line in text.splitlines() if line.strip()]
    said = lines[-1] if lines else ""
    return said if len(said) <= MOST_CHARACTERS else f"{said[:MOST_CHARACTERS]}…"
