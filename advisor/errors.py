"""Everything that can go wrong on purpose, with the exit code that the command line ends with.

An error's text is one line: what happened, with the value, and what to do about it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """What a shell or a CI job sees; documented in the README."""

    OK = 0
    INTERNAL = 1
    """A bug of ours: the traceback is printed."""
    USAGE = 2
    """Wrong option, missing script, unknown knob or run, unreadable configuration."""
    SCRIPT_FAILED = 3
    """The script itself crashed, hung or ran out of memory before enough was measured."""
    NOTHING_MEASURED = 4
    """The script ended well but trained nothing that could be measured."""
    ISOLATION = 5
    """The isolation that was asked for does not work on this machine."""
    BELOW_THRESHOLD = 6
    """`compare --fail-below`: the candidate is slower than allowed. `verify`: the settings are slower, or break it."""
    STORAGE = 7
    """A run folder cannot be written or a stored run cannot be read."""
    INTERRUPTED = 130
    TERMINATED = 143


class AdvisorError(Exception):
    """Base of all errors that are told to the user in one line."""

    exit_code: ExitCode = ExitCode.INTERNAL


class UsageError(AdvisorError):
    """The call cannot be carried out as it was written."""

    exit_code = ExitCode.USAGE


class SettingsWarning(UserWarning):
    """Settings that no longer hold here, or that could not be applied; the work goes on without them."""


class ScriptError(AdvisorError):
    """The user's script failed; its own traceback is shown first."""

    exit_code = ExitCode.SCRIPT_FAILED

    def __init__(self, message: str, *, stderr_tail: str = "", kind: str = "crash") -> None:
        super().__init__(message)
        self.stderr_tail = stderr_tail
        self.kind = kind
        """Of a `Failure`, or of a refusal."""


class NothingMeasuredError(AdvisorError):
    """The script ended without training anything that could be measured."""

    exit_code = ExitCode.NOTHING_MEASURED


class IsolationError(AdvisorError):
    """The isolation asked for cannot be had here."""

    exit_code = ExitCode.ISOLATION


class StorageError(AdvisorError):
    """A run cannot be written, or what is stored is not what was written."""

    exit_code = ExitCode.STORAGE


class InterruptedByUserError(AdvisorError):
    """Ctrl-C or SIGTERM; what was measured until then has been saved."""

    def __init__(self, message: str, *, by: BaseException, run_folder: str = "", found: Any = None) -> None:
        super().__init__(message)
        self.exit_code = ExitCode.TERMINATED if isinstance(by, Terminated) else ExitCode.INTERRUPTED
        self.run_folder = run_folder
        """Where it was saved; empty where nothing was."""
        self.found = found
        """The result as far as it came, where it is no profile."""


class Terminated(BaseException):
    """SIGTERM, as an exception like KeyboardInterrupt: everything that is open is closed on its way out."""


INTERRUPTIONS = (KeyboardInterrupt, Terminated)
"""How a user or a scheduler ends the work; no error of the program."""
