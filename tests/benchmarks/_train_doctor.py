"""Asks train-doctor as its user would: `train-doctor fix -- python train.py`, with its own defaults."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

LIMIT_S = 1500
"""It starts the script a dozen times for each change that it tries."""
PREFIX = "TRAIN_DOCTOR_FIX_"
SETTINGS: Mapping[str, Callable[[str], Any]] = {
    "NUM_WORKERS": int,
    "PREFETCH_FACTOR": int,
    "PERSISTENT_WORKERS": "1".__eq__,
    "PIN_MEMORY": "1".__eq__,
    "CUDNN_BENCHMARK": "1".__eq__,
}
"""The changes that it applies itself, by the variable that it hands to the script."""


def pick(command: str, script: Path) -> dict[str, Any]:
    """Settings of the change that it calls proven; none where it proves nothing."""
    with tempfile.TemporaryDirectory(prefix="advisor-train-doctor-") as folder:
        words = [
            str(_found(command)),
            "fix",
            "--json",
            "--no-card",
            "--quiet",
            "--out",
            folder,
            "--",
            sys.executable,
            script.name,
        ]
        done = subprocess.run(words, cwd=script.parent, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise ValueError(f"failed: {said[-1]}") from None
    if answer.get("error"):
        raise ValueError(f"failed: {answer['headline']}")
    return proven(answer)


def proven(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Read its answer: the proven candidate by name, what it changes in that candidate's environment."""
    found = answer["proven"]
    if not found:
        return {}
    tried = [*answer["candidates"], *([answer["combined"]] if answer.get("combined") else [])]
    environment = next(each["env"] for each in tried if each["candidate"] == found["candidate"])
    return {
        variable.removeprefix(PREFIX).lower(): SETTINGS[variable.removeprefix(PREFIX)](value)
        for variable, value in environment.items()
    }


def version(command: str) -> str | None:
    """Return its version; None where there is no such command."""
    path = _found(command)
    if path is None:
        return None
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.split()[-1]


def _found(command: str) -> Path | None:
    """Return where the command is, whatever folder it is run in."""
    path = shutil.which(command)
    return Path(path).absolute() if path else None
