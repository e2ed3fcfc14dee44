"""Shared by the tests of isolation and processes: run a piece of Python in a tier, and look at the outside."""

from __future__ import annotations

import copy
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psutil
import pytest

from advisor.errors import IsolationError
from advisor.runtime.isolation import Isolation, choose
from advisor.runtime.processes import ScriptProcess, start

WAIT_S = 60.0
ALL_ISOLATIONS = tuple(os.environ.get("ADVISOR_TEST_ISOLATIONS", "overlay landlock copy none").split())
PROTECTING = ("overlay", "landlock")


@cache
def _chosen(name: str) -> Isolation | str:
    """The tier as it is had here, or why it is not."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return choose(name, project=Path(folder), scratch=Path(folder) / "scratch")
        except IsolationError as error:
            return str(error)


def isolation_for(name: str, project: Path, scratch: Path) -> Isolation:
    """The tier, which is tried out once for all tests; or a skip that says why it cannot be had here."""
    chosen = _chosen(name)
    if isinstance(chosen, str):
        pytest.skip(chosen)
    found = copy.copy(chosen)
    found.project, found.scratch = project.resolve(), scratch.resolve()
    vars(found).pop("shared", None)  # made where it was tried out
    return found


@contextmanager
def running(
    isolation: Isolation, code: str, logs: Path, *args: str, cwd: Path | None = None
) -> Iterator[ScriptProcess]:
    """`python -c code args` in a fresh view."""
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    with (
        isolation.prepare(cwd or isolation.project, writable=[logs]) as view,
        start([sys.executable, "-c", code, *args], cwd=view.cwd, env=env, logs=logs, view=view) as process,
    ):
        yield process


def run(isolation: Isolation, code: str, logs: Path, *args: str, cwd: Path | None = None) -> tuple[int, str, str]:
    """Return code, stdout and stderr."""
    with running(isolation, code, logs, *args, cwd=cwd) as process:
        returncode = process.wait(WAIT_S)
    assert returncode is not None, "the script did not end"
    return returncode, (logs / "script.stdout").read_text(), (logs / "script.stderr").read_text()


def fingerprint(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Name → mode, time of change, SHA-256 of everything below."""
    found = {}
    for path in sorted(folder.rglob("*")):
        seen = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else ""
        found[str(path.relative_to(folder))] = (seen.st_mode, seen.st_mtime_ns, content)
    return found


def with_marker(marker: str) -> list[psutil.Process]:
    """Living processes whose command line holds the marker."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and any(marker in part for part in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def wait_until(condition, timeout_s: float = 20.0) -> bool:  # type: ignore[no-untyped-def]
    """Whether it became true in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())
