"""Contenders that prepare themselves together, and are then counted one at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from _common import say
from _gated import FailedError, GatedProcess, end_all

Answer = TypeVar("Answer")
TIME = "time"
TRACE = "trace"
GRACE_S = 25.0
"""For a turn that takes longer than it should."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A script to be counted: `note` takes what came of a turn, `failed` why nothing did."""

    title: str
    words: Sequence[str]
    turn_s: float
    memory_gib: float
    note: Callable[[dict[str, Any]], None]
    failed: Callable[[str], None]


class SideBySide:
    """The processes of candidates, from their start to their end; one that fails is left out from then on."""

    def __init__(self, candidates: Sequence[Candidate], *, folder: Path, env: Mapping[str, str]) -> None:
        self._alive = [(each, GatedProcess(each.words, folder=folder, env=env)) for each in candidates]
        self._processes = [process for _each, process in self._alive]

    @property
    def candidates(self) -> list[Candidate]:
        return [candidate for candidate, _process in self._alive]

    def await_ready(self, until_s: float) -> None:
        """Return when all wait for their turn, or have failed."""
        begin_s = time.monotonic()
        for candidate in self.candidates:
            self._try(candidate, lambda process: process.await_ready(until_s))
        say(f"{len(self._alive)} ready after {time.monotonic() - begin_s:.0f} s")

    def turn(self, candidate: Candidate, until_s: float, word: str = TIME) -> dict[str, Any] | None:
        """What came of one turn; None of one that failed, or that there is no time for."""
        if candidate not in self.candidates or until_s - time.monotonic() < candidate.turn_s:
            return None
        limit_s = min(until_s, time.monotonic() + candidate.turn_s + GRACE_S)
        return self._try(candidate, lambda process: process.turn(word, limit_s))

    def stderr(self, candidate: Candidate) -> str:
        return next((process.stderr for each, process in self._alive if each is candidate), "")

    def end(self) -> None:
        end_all(self._processes)

    def _try(self, candidate: Candidate, ask: Callable[[GatedProcess], Answer]) -> Answer | None:
        process = next(process for each, process in self._alive if each is candidate)
        try:
            return ask(process)
        except FailedError as error:
            say(f"{candidate.title}: {error}")
            self._alive = [(each, other) for each, other in self._alive if each is not candidate]
            process.end(time.monotonic())
            candidate.failed(f"FAILED: {error}")
            return None
