"""Controller's side of a running script: isolation, processes, script runs, windows, and their results."""

from __future__ import annotations

from .run_options import RunOptions
from .script_run import ScriptRun
from .script_run_record import ScriptRunRecord
from .session import BASELINE_SETUP, InScriptRun, Session, Setup
from .session_result import SessionResult

__all__ = [
    "BASELINE_SETUP",
    "InScriptRun",
    "RunOptions",
    "ScriptRun",
    "ScriptRunRecord",
    "Session",
    "SessionResult",
    "Setup",
]
