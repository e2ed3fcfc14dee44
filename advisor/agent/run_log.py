"""What a real training has to say of its settings: one line on stderr, and one in a file of the user's state folder."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import Any

LONGEST_LINE = 4000
"""A line that is written at once is not mixed with those of other ranks."""


class RunLog:
    """One for the process. Only the first rank says anything; every rank keeps what it met."""

    def __init__(self, path: str = "") -> None:
        """`path`: the file, which is made where there is something to keep; empty keeps nothing."""
        self._path = path
        self._rank = int(os.environ.get("RANK", "0") or 0)
        self._told_where = False
        self._closed = False

    def close(self) -> None:
        """Nothing is said or kept from now on."""
        self._closed = True

    def tell(self, setting: str, text: str, value: Any = None) -> None:
        """Said, and kept."""
        if self._closed:
            return
        kept = self._keep(setting, text, value)
        where = f" (kept in {self._path})" if kept and not self._told_where else ""
        self._told_where = self._told_where or bool(where)
        self.say(text + where)

    def say(self, text: str) -> None:
        if self._rank == 0 and not self._closed:
            say(text)

    def _keep(self, setting: str, text: str, value: Any) -> bool:
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
    """One line to the user, on stderr."""
    try:
        sys.stderr.write(f"advisor: {text}\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return
