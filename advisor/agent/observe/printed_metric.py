"""Numbers that the script prints or logs under one name, such as `val_loss: 0.42`, with the update they stand behind.

The streams stay the script's own objects: only their `write` is looked over. A script that prints nothing of the name
pays for a search in each line.
"""

from __future__ import annotations

import re
import sys
from typing import Any, Callable

from ..loop.clock import StepClock
from ..loop.evaluation_losses import MOST_EVALUATIONS, Evaluated

LONGEST_LINE = 4000
"""Characters of a line that are looked at: a progress bar may never end its line."""
NUMBER = r"[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan|[-+]?inf"


class PrintedMetric:
    """Reader of one name's numbers in what the script writes to its output and its errors."""

    def __init__(self, clock: StepClock, name: str) -> None:
        self._clock = clock
        self._name = name
        # `val_loss: 1`, `val_loss=1`, `val_loss 1`, `{'val_loss': 1}`; in `val_loss (mean) = 1` what stands between.
        self._number = re.compile(
            rf"(?<![\w.]){re.escape(name)}(?![\w.])[\"']?\s*(?:\([^)]*\)\s*)?[:=|]?\s*(?:tensor\()?({NUMBER})(?![\w])",
            re.IGNORECASE,
        )
        self._lines: dict[int, str] = {}
        """Stream → the begun line."""
        self._read: list[Evaluated] = []

    @classmethod
    def reading(cls, clock: StepClock, name: str) -> PrintedMetric | None:
        """Read from now on; None without a name."""
        if not name:
            return None
        found = cls(clock, name)
        found.install()
        return found

    def install(self) -> None:
        """Look over what is written from now on; streams that do not allow it are left alone."""
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.write = self._reading(id(stream), stream.write)  # type: ignore[method-assign]
            except AttributeError:
                continue

    def done(self) -> list[Evaluated]:
        """Return the numbers so far; of an update the last one counts."""
        return list(self._read)

    def _reading(self, stream: int, write: Callable[[str], int]) -> Callable[[str], int]:
        def reads(text: str, *args: Any, **kwargs: Any) -> int:
            count = write(text, *args, **kwargs)
            if not self._clock.in_child:
                self._saw(stream, text)
            return count

        return reads

    def _saw(self, stream: int, text: object) -> None:
        if not isinstance(text, str):
            return
        line = self._lines.get(stream, "") + text
        if "\n" not in text and "\r" not in text:
            self._lines[stream] = line[-LONGEST_LINE:]
            return
        *ended, self._lines[stream] = re.split(r"[\r\n]", line[-LONGEST_LINE:])
        for each in ended:
            if self._name.lower() in each.lower():
                self._look(each)

    def _look(self, line: str) -> None:
        found = self._number.findall(line)
        value = float(found[-1].replace("_", "")) if found else None
        if value is None or value - value != 0:
            return
        if self._read and self._read[-1].updates == self._clock.updates:
            self._read.pop()
        self._read = [*self._read[1 - MOST_EVALUATIONS :], Evaluated(self._clock.updates, value, 1, None)]
