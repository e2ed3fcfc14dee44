"""One call of `advisor tune`, and what it decided."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _gated import FailedError, last_line

from advisor.errors import AdvisorError
from advisor.storage import run_store
from advisor.types import Profile

SAVES_S = 10.0
"""For tune to write what it has, once it is told to stop."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    status: str
    settings: Mapping[str, Any]
    took_s: float
    file: Path | None
    """The settings for `advisor run`; None where there are none."""
    profile: Profile | None
    failure: str = ""


def tune(
    words: Sequence[str], *, budget_s: float, limit_s: float, folder: Path, env: Mapping[str, str], verify: bool
) -> Decision:
    """Ask for settings of the script; the profile stands there even where the search failed."""
    folder.mkdir()
    file = folder / "advisor.yaml"
    options = ["--json", f"--budget={budget_s:.0f}s", f"--runs={folder / 'runs'}", "-o", str(file), "-f"]
    command = [sys.executable, "-m", "advisor", "tune", *options, *([] if verify else ["--no-verify"]), *words]
    begin_s = time.monotonic()
    failure, found = "", {}
    try:
        found = _asked(command, limit_s, folder, env)
    except FailedError as error:
        failure = str(error)
    verdict = found.get("verdict") or {}
    settings = found.get("config") or {}
    return Decision(
        status=verdict.get("status") or "no verdict",
        settings=settings,
        took_s=time.monotonic() - begin_s,
        file=file if settings and file.exists() else None,
        profile=_profile(folder / "runs"),
        failure=failure or _failure(found),
    )


def busy_fraction(profile: Profile) -> float | None:
    """Advisor's own figure for the share of time in which the device works."""
    return profile.device_use.busy_fraction if profile.device_use is not None else None


def _asked(command: Sequence[str], limit_s: float, folder: Path, env: Mapping[str, str]) -> dict[str, Any]:
    out, errors = folder / "tune.json", folder / "tune.stderr"
    with out.open("w") as stdout, errors.open("w") as stderr:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, cwd=folder, env=env)
        try:
            process.wait(timeout=limit_s)
        except BaseException as error:
            _stop(process)
            if isinstance(error, subprocess.TimeoutExpired):
                raise FailedError(f"not done after {limit_s:.0f} s") from None
            raise
    try:
        found: dict[str, Any] = json.loads(out.read_text())
    except ValueError:
        raise FailedError(
            last_line(errors.read_text(errors="replace")) or f"ended with exit code {process.returncode}"
        ) from None
    return found


def _stop(process: subprocess.Popen[bytes]) -> None:
    """It ends its script when it is told to, and when it is gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=SAVES_S)
            return


def _failure(found: Mapping[str, Any]) -> str:
    failure = found.get("failure")
    return last_line(failure["message"]) if failure else ""


def _profile(runs: Path) -> Profile | None:
    for folder in sorted(runs.glob("*/profile.json")):
        with contextlib.suppress(AdvisorError):
            return run_store.load_profile(folder)
    return None
