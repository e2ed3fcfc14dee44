"""Launch file of a real training: what the agent reads at its start, and deletes."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

from .. import wire
from ..types import Command
from .bootstrap_file import BOOTSTRAP
from .launch_line import launch_line


def store(spec: wire.LaunchSpec, path: Path) -> None:
    """Write a launch file that only its user can read: it may hold secrets among the script's arguments."""
    path.write_text(json.dumps(asdict(spec)))
    path.chmod(0o600)


def written(command: Command, spec: wire.LaunchSpec, folder: Path | None = None) -> list[str]:
    """Store the launch file, for the agent to delete, and return the command line of the script's process."""
    descriptor, path = tempfile.mkstemp(prefix="advisor-run-", suffix=".json", dir=folder)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(spec), file)
    return launch_line(command, [str(BOOTSTRAP), path])
