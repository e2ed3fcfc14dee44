"""Messages of a real training about its settings: one line on stderr, and one in a file of the user's state folder."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping

LONGEST_LINE = 4000
"""Maximum line length. A line written at once does not mix with those of other ranks."""


class RunLog:
    """Log of one process. Only the first rank prints messages; every rank records its own."""

    def __init__(self, path: str = "") -> None:
        """Record messages in the file `path`, created with the first one; empty records nothing."""
        self._path = path
        self._rank = int(os.environ.get("RANK", "0") or 0)
        self._path_shown = False
        self._closed = False

    def close(self) -> None:
        """Print and record nothing from now on."""
        self._closed = True

    def report(self, setting: str, text: str, value: object = None) -> None:
        """Print and record a message."""
        if self._closed:
            return
        kept = self._keep(setting, text, value)
        where = f" (kept in {self._path})" if kept and not self._path_shown else ""
        self._path_shown = self._path_shown or bool(where)
        self.say(text + where)

    def say(self, text: str) -> None:
        if self._rank == 0 and not self._closed:
            say(text)

    def _keep(self, setting: str, text: str, value: object) -> bool:
        if not self._path:
            return False
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "folder": os.getcwd(),
            "script": sys.argv[0],
            "rank": self._rank,
            "setting": setting,
            "value": value,
            "text": text,
        }
        line = json.dumps(entry, default=str)
        if len(line) > LONGEST_LINE:
            line = json.dumps({**entry, "text": text[: LONGEST_LINE // 2]}, default=str)
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, line.encode("utf-8", "backslashreplace") + b"\n")
            finally:
                os.close(descriptor)
            return True
        return False


def say(text: str) -> None:
    """Print one line to the user on stderr."""
    try:
        sys.stderr.write(f"advisor: {text}\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return


def words(settings: Mapping[str, object]) -> str:
    """Return settings as a user writes them."""
    return ", ".join(f"{name}={value}" for name, value in settings.items())
