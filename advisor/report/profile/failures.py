"""Sentences on a script that failed: what it did, and what has to change before it is run again."""

from __future__ import annotations

from ...types import Failure, Profile
from .. import format

_FAILURES = {
    "oom": "ran out of memory",
    "crash": "crashed",
    "hang": "hung",
    "nan": "computed a non-finite loss",
    "no_steps": "trained nothing",
    "refused": "cannot be profiled",
    "exit": "ended early",
    "disk_full": "filled the disk",
    "interrupted": "was stopped",
}
_ONCE = {
    "oom": "once the script fits into memory",
    "hang": "once nothing blocks the script",
    "nan": "once the loss stays finite",
    "refused": "once the script can be profiled",
    "disk_full": "once there is space on the disk",
    "interrupted": "from the start",
}


def what_failed(failure: Failure) -> str:
    """Describe a failure, as the words after "Your script"."""
    message = format.one_line(failure.message).rstrip(".")
    short = message.removeprefix("the script ") if message.startswith("the script ") else None
    return short or f"{_FAILURES.get(failure.kind, 'failed')}: {message}"


def once_mended(failure: Failure, profile: Profile) -> str:
    """Describe what has to change first, as the words after "measures again,"."""
    trained = any(script_run.updates for script_run in profile.script_runs)
    if failure.kind == "no_steps":
        return "once the script makes more updates" if trained and profile.steps is None else "once the script trains"
    return _ONCE.get(failure.kind, "once the script no longer fails")
