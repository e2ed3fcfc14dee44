"""Why nothing was counted: a script that ended by itself, or one whose time was up."""

from __future__ import annotations

import pytest

from advisor.analysis import assembly
from advisor.runtime.script_run_record import ScriptRunRecord
from advisor.runtime.session_result import SessionResult


@pytest.mark.parametrize(
    ("out_of_time", "said"),
    [
        (True, "the script made 5 updates in the time that it was given, too few to measure"),
        (False, "the script ended after 5 updates (exit code -9)"),
    ],
)
def test_a_script_that_was_ended_did_not_end(out_of_time: bool, said: str) -> None:
    script_run = ScriptRunRecord(number=0, started="", updates=5, exit_code=-9)
    failure = assembly._failure(SessionResult(script_runs=[script_run], deadline_hit=out_of_time), something=False)
    assert failure is not None
    assert failure.message.startswith(said)
