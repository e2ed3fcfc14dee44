"""Contenders that prepare themselves together, and are then counted one at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _common import say
from _gated import FailedError, GatedProcess, end_all

TIME = "time"
TRACE = "trace"
GRACE_S = 25.0
"""For a turn that takes longer than it should."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A script to be counted: `note` takes what came of a turn, `failed` why nothing did."""

    title: str
    words: Sequence[str]
    turn_s: float
    memory_gib: float
    note: Callable[[dict[str, Any]], None]
    failed: Callable[[str], None]


class SideBySide:
    """The processes of contenders, from their start to their end; one that fails is left out from then on."""

    def __init__(self, contenders: Sequence[Contender], *, folder: Path, env: Mapping[str, str]) -> None:
        self._alive = [(each, GatedProcess(each.words, folder=folder, env=env)) for each in contenders]
        self._processes = [process for _each, process in self._alive]

    @property
    def contenders(self) -> list[Contender]:
        return [contender for contender, _process in self._alive]

    def await_ready(self, until_s: float) -> None:
        """Return when all wait for their turn, or have failed."""
        begin_s = time.monotonic()
        for contender in self.contenders:
            self._try(contender, lambda process: process.await_ready(until_s))
        say(f"{len(self._alive)} ready after {time.monotonic() - begin_s:.0f} s")

    def turn(self, contender: Contender, until_s: float, word: str = TIME) -> dict[str, Any] | None:
        """What came of one turn; None of one that failed, or that there is no time for."""
        if contender not in self.contenders or until_s - time.monotonic() < contender.turn_s:
            return None
        limit_s = min(until_s, time.monotonic() + contender.turn_s + GRACE_S)
        return self._try(contender, lambda process: process.turn(word, limit_s))

    def stderr(self, contender: Contender) -> str:
        return next((process.stderr for each, process in self._alive if each is contender), "")

    def end(self) -> None:
        end_all(self._processes)

    def _try(self, contender: Contender, ask: Callable[[GatedProcess], Any]) -> Any:
        process = next(process for each, process in self._alive if each is contender)
        try:
            return ask(process)
        except FailedError as error:
            say(f"{contender.title}: {error}")
            self._alive = [(each, other) for each, other in self._alive if each is not contender]
            process.end(time.monotonic())
            contender.failed(f"FAILED: {error}")
            return None
