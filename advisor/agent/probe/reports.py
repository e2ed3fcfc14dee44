"""Reports of windows, as messages to the controller."""

from __future__ import annotations

import time
from typing import Any

from ... import wire
from .recorder import no_columns


class Reports:
    """Maker of the reports of one rank; `instruments` know where numbers of samples come from."""

    def __init__(self, instruments: Any, rank: int, origin_s: float) -> None:
        self._instruments = instruments
        self._rank = rank
        self._origin_s = origin_s

    def of(self, window: wire.Window, start_s: float, *, dropped_updates: int = 0, **fields: Any) -> wire.WindowDone:
        samples_from = self._instruments.samples_from()
        return wire.WindowDone(
            self._rank, window.id, start_s, samples_from=samples_from, dropped_updates=dropped_updates, **fields
        )

    def empty(self, window: wire.Window, extra: dict[str, Any]) -> wire.WindowDone:
        """Return the report of a window in which no update was counted."""
        lines, hits = extra.pop("lines", []), extra.pop("hits", 0)
        begin_s = time.perf_counter() - self._origin_s
        return self.of(window, begin_s, lines=lines, hits=hits, extra=extra, **no_columns())

    def refused(self, window: wire.Window, why: str) -> wire.WindowRefused:
        return wire.WindowRefused(self._rank, window.id, "refused", why)
