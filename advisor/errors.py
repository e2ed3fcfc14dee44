"""Expected errors, each with the exit code of the command line.

An error's text is one line: what happened, with the value, and what to do about it.
"""

from __future__ import annotations

import os
from enum import IntEnum
from typing import Any

from .spelling import parameter


class ExitCode(IntEnum):
    """Exit status for a shell or a CI job; documented in the README."""

    OK = 0
    INTERNAL = 1
    """A bug in advisor: the traceback is printed."""
    USAGE = 2
    """Wrong option, missing script, unknown knob or run, unreadable configuration."""
    SCRIPT_FAILED = 3
    """The script crashed, hung or ran out of memory before enough was measured."""
    NOTHING_MEASURED = 4
    """The script ended normally but trained nothing that could be measured."""
    ISOLATION = 5
    """The requested isolation does not work on this machine."""
    BELOW_THRESHOLD = 6
    """`compare --fail-below`: the candidate is slower than allowed. `verify`: the settings are slower, or break
    training."""
    STORAGE = 7
    """A run folder cannot be written, or a stored run cannot be read."""
    INTERRUPTED = 130
    TERMINATED = 143


class AdvisorError(Exception):
    """Base class of all errors that are reported to the user in one line."""

    exit_code: ExitCode = ExitCode.INTERNAL


class UsageError(AdvisorError):
    """A call that cannot be carried out as written."""

    exit_code = ExitCode.USAGE


class SettingsWarning(UserWarning):
    """Settings that no longer hold here or could not be applied; the work continues without them."""


class ScriptError(AdvisorError):
    """A failure of the user's script; the script's own traceback is shown first."""

    exit_code = ExitCode.SCRIPT_FAILED

    def __init__(self, message: str, *, stderr_tail: str = "", kind: str = "crash") -> None:
        super().__init__(message)
        self.stderr_tail = stderr_tail
        self.kind = kind
        """Kind of a `Failure` or of a refusal."""


class NothingMeasuredError(AdvisorError):
    """A script that ended without training anything that could be measured."""

    exit_code = ExitCode.NOTHING_MEASURED


class IsolationError(AdvisorError):
    """A requested isolation that is not available here."""

    exit_code = ExitCode.ISOLATION


class StorageError(AdvisorError):
    """A run that cannot be written, or a stored run that differs from what was written."""

    exit_code = ExitCode.STORAGE


class InterruptedByUserError(AdvisorError):
    """Ctrl-C or SIGTERM; everything measured so far has been saved."""

    def __init__(self, message: str, *, by: BaseException, run_folder: str = "", found: Any = None) -> None:
        super().__init__(message)
        self.exit_code = ExitCode.TERMINATED if isinstance(by, Terminated) else ExitCode.INTERRUPTED
        self.run_folder = run_folder
        """Folder where it was saved; empty if nothing was."""
        self.found = found
        """The partial result, if it is not a profile."""


class Terminated(BaseException):
    """SIGTERM as an exception, like KeyboardInterrupt, so that everything open is closed on the way out."""


def interrupted(
    run_id: str, run_folder: os.PathLike[str], by: BaseException, *, found: Any = None
) -> InterruptedByUserError:
    """Return the error for an interrupted run; `found` is the partial result of a search."""
    go_on = "" if found is None else f"; to continue, repeat with {parameter('resume', run_id)}"
    return InterruptedByUserError(
        f"interrupted; the results so far are kept: advisor report {run_id}{go_on}",
        by=by,
        run_folder=os.fspath(run_folder),
        found=found,
    )


def interrupted_rounds(
    rounds: str, run_folder: os.PathLike[str], by: BaseException, found: Any
) -> InterruptedByUserError:
    """Return the error for an interrupted comparison; `rounds` counts those in words, `found` is the result so far."""
    message = f"interrupted after {rounds}; the results so far are kept in {run_folder}"
    return InterruptedByUserError(message, by=by, run_folder=os.fspath(run_folder), found=found)


INTERRUPTIONS = (KeyboardInterrupt, Terminated)
"""Ways in which a user or a scheduler ends the work; not errors of the program."""
