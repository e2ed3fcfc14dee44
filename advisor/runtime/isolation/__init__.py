"""Isolation: protection of the user's files while the script runs.

tier = choose("auto", project=folder, scratch=runs / "scratch")
with tier.prepare(cwd, writable=[run_folder]) as view:
    with start(argv, cwd=view.cwd, env=env, logs=run_folder, view=view) as script:
        ...
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from ...errors import IsolationError
from ...spelling import parameter
from ...storage.safe_files import disk_errors
from ...unknown_name import UnknownNameError
from . import devices
from . import scratch as scratch_folder
from ._base import Isolation, View
from .copied import Copy, Landlock, Unprotected
from .overlay import Overlay

__all__ = ["NAMES", "Isolation", "View", "choose"]

NAMES = ("auto", Overlay.name, Landlock.name, Copy.name, Unprotected.name)
"""Values of `--isolation`; `auto` never goes below the tiers that protect."""


def choose(requested: str, *, project: Path, scratch: Path, processes: bool = True) -> Isolation:
    """Choose the requested tier, or the best that protects; each is tried out on this machine first.

    `scratch` is a folder of advisor's own, best on a disk with room for what the script writes. Without `processes` no
    tier has a process namespace of its own.
    Raises IsolationError naming what was tried, and StorageError if `scratch` is not writable.
    """
    if requested not in NAMES:
        raise UnknownNameError(f"unknown isolation {requested!r}", NAMES, name=requested)
    project, scratch = project.resolve(), scratch.resolve()
    scratch_folder.sweep(scratch)
    devices.make_ready()
    failed: list[str] = []
    for isolation in _candidates(requested, project, scratch, processes):
        reason = _why_not(isolation)
        if reason is None:
            return isolation
        failed.append(f"{_label(isolation)}: {reason}")
    unprotected = (
        ""
        if requested in (Copy.name, Unprotected.name)
        else f"; {parameter('isolation', 'copy')} or none runs without protection"
    )
    raise IsolationError(f"no isolation works here ({'; '.join(failed)}){unprotected}")


def _candidates(requested: str, project: Path, scratch: Path, namespace: bool) -> Iterator[Isolation]:
    if requested in ("auto", Overlay.name):
        for processes in (True, False) if namespace else (False,):
            for in_memory in (False, True):
                yield Overlay(project=project, scratch=scratch, processes=processes, in_memory=in_memory)
    if requested in ("auto", Landlock.name):
        for mounts in (True, False):
            yield Landlock(project=project, scratch=scratch, mounts=mounts)
    if requested == Copy.name:
        yield Copy(project=project, scratch=scratch)
    if requested == Unprotected.name:
        yield Unprotected(project=project, scratch=scratch)


def _why_not(isolation: Isolation) -> str | None:
    if not isolation.protects:
        return None  # nothing to prove: it does not promise to protect
    if sys.platform != "linux":
        return f"needs Linux, and this is {sys.platform}"
    from .probe import try_out

    try:
        with disk_errors(isolation.scratch):  # no tier is to blame for a full disk
            try_out(isolation)
    except (IsolationError, OSError) as error:
        return str(error)
    return None


def _label(isolation: Isolation) -> str:
    if isinstance(isolation, Landlock):
        return f"{isolation.name}{'' if isolation.mounts else ' without a mount namespace'}"
    if not isinstance(isolation, Overlay):
        return isolation.name
    place = " in memory" if isolation.in_memory else ""
    processes = "" if isolation.processes else " without a process namespace"
    return f"{isolation.name}{place}{processes}"
