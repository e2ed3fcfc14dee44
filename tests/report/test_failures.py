"""Sentences on a script that failed, as the words after "Your script" and "measures again,"."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from advisor.report.profile.failures import once_mended, what_failed
from advisor.report.profile.headline import verdict_of
from advisor.types import Failure

from . import sample


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("the script was killed by SIGABRT (exit 134)", "was killed by SIGABRT (exit 134)"),
        ("the script raised ConnectionResetError: Connection reset by peer.", None),
        ("no update for 5 s", "hung: no update for 5 s"),
    ],
)
def test_a_failure_ends_a_sentence_about_the_script(message: str, said: str | None) -> None:
    failure = Failure(kind="hang", message=message)
    assert what_failed(failure) == (said or "raised ConnectionResetError: Connection reset by peer")


@pytest.mark.parametrize("kind", ["oom", "crash", "hang", "nan", "exit", "disk_full", "interrupted", "refused"])
def test_a_script_that_ran_is_not_waited_for_until_it_runs(kind: Any) -> None:
    failed = replace(sample.crashed(), failure=Failure(kind=kind, message="it ended"))
    assert "once the script runs" not in verdict_of(failed).why_next


def test_what_is_missing_depends_on_how_far_the_script_came() -> None:
    failure = Failure(kind="no_steps", message="too few to measure")
    profile = sample.nothing_measured()
    runs = profile.script_runs
    trained = replace(profile, script_runs=tuple(replace(run, updates=2) for run in runs))
    still = replace(profile, script_runs=tuple(replace(run, updates=0) for run in runs))
    assert runs
    assert once_mended(failure, trained) == "once the script makes more updates"
    assert once_mended(failure, still) == "once the script trains"


def test_a_loss_that_is_not_finite_leaves_the_updates_as_they_are() -> None:
    failed = replace(sample.healthy(), failure=Failure(kind="nan", message="the loss was not finite"))
    assert "the results below are from the 120 updates." in verdict_of(failed).sentence
