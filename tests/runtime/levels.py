"""Isolation at one level of the table of promises."""

from __future__ import annotations

import contextlib
from pathlib import Path

from advisor.errors import IsolationError
from advisor.runtime.isolation import Isolation
from advisor.runtime.isolation.copied import Copy, Landlock, Unprotected
from advisor.runtime.isolation.overlay import Overlay
from advisor.runtime.isolation.probe import try_out
from advisor.runtime.isolation.promises import Level


def isolation_at(level: Level, project: Path, scratch: Path) -> Isolation:
    """The level as it is had here; raise IsolationError where it cannot be had."""
    match level:
        case Level.OVERLAY:
            return _first(
                level,
                [
                    Overlay(project=project, scratch=scratch, in_memory=in_memory, processes=processes)
                    for processes in (True, False)
                    for in_memory in (False, True)
                ],
            )
        case Level.LANDLOCK | Level.LANDLOCK_ALONE:
            return _first(level, [Landlock(project=project, scratch=scratch, mounts=level is Level.LANDLOCK)])
        case Level.COPY:
            return Copy(project=project, scratch=scratch)
        case Level.NONE:
            return Unprotected(project=project, scratch=scratch)


_works: dict[Level, int] = {}
"""Number of the candidate that works here, once it is known."""


def _first(level: Level, candidates: list[Isolation]) -> Isolation:
    if level in _works:
        return candidates[_works[level]]
    for number, candidate in enumerate(candidates[:-1]):
        with contextlib.suppress(IsolationError):
            try_out(candidate)
            _works[level] = number
            return candidate
    try_out(candidates[-1])
    _works[level] = len(candidates) - 1
    return candidates[-1]
