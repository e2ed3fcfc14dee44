"""Commands that a report proposes: with the options that the user gave."""

from __future__ import annotations

from dataclasses import replace

from advisor.report.profile.headline import verdict_of
from advisor.report.search.verdict import verdict_of_tune
from advisor.types import TuneResult

from . import sample, sample_tuning

HOW_IT_RUNS = ("--python", "/opt/py", "--runs", "my runs")
SEARCH = ("--knobs", "num_workers", "--set", "micro_batch=--rows:32")


def asked(result: TuneResult) -> TuneResult:
    return replace(result, search_options=SEARCH, profile=replace(result.profile, run_options=HOW_IT_RUNS))


def commands(result: TuneResult) -> list[str]:
    return [one.command for one in verdict_of_tune(asked(result)).next]


def test_a_profile_is_followed_by_a_search_of_the_script_as_it_was_run() -> None:
    found = verdict_of(replace(sample.input_bound(), run_options=HOW_IT_RUNS))
    assert found.next_command.startswith("advisor tune --python /opt/py --runs 'my runs' train.py")


def test_a_search_goes_on_as_it_was_asked_for() -> None:
    (first, *_others) = commands(sample_tuning.no_time_to_try())
    assert "--knobs num_workers --set micro_batch=--rows:32 --python /opt/py --runs 'my runs' train.py" in first


def test_a_verification_runs_the_script_as_the_search_did() -> None:
    (prove,) = [command for command in commands(sample_tuning.undecided()) if command.startswith("advisor verify")]
    assert "--python /opt/py --runs 'my runs' train.py" in prove
    assert "--knobs" not in prove


def test_a_training_is_run_by_the_same_interpreter() -> None:
    (train,) = [command for command in commands(sample_tuning.faster()) if command.startswith("advisor run")]
    assert "--python /opt/py train.py" in train
    assert "--runs" not in train


def test_without_options_nothing_is_added() -> None:
    found = verdict_of(sample.input_bound())
    assert found.next_command == f"advisor tune {sample.input_bound().command.display}"
