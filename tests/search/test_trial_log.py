"""The log of a search: the truth, whatever happened to the process, and to a line of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from advisor.errors import StorageError, UsageError
from advisor.search import trial_log
from advisor.types import Config, Ratio, Trial, TrialOutcome

REQUEST = {"script": "train.py", "arguments": ["--epochs", "3"], "tolerance": 0.05, "knobs": None}


def trial(number: int, **settings: Any) -> Trial:
    return Trial(
        number=number,
        config=Config.of(settings),
        reason="an expert would",
        effect="numerics",
        outcome=TrialOutcome(kind="measured", samples_per_s=12.5, peak_bytes=1000),
        ratio=Ratio(speedup=1.5, low=1.4, high=1.6, rounds=2),
        score=1.5,
    )


TRIALS = (trial(0), trial(1, num_workers=2, pin_memory=True), trial(2, precision="bf16"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    written = trial_log.TrialLog(tmp_path)
    written.begin(REQUEST)
    for one in TRIALS:
        written.add(one)
    written.add_final(TRIALS[1].config, TRIALS[1].ratio)  # type: ignore[arg-type]
    return tmp_path


def test_what_was_written_is_read_back(folder: Path) -> None:
    assert trial_log.read(folder).trials == TRIALS


def test_types_of_values_survive(folder: Path) -> None:
    values = dict(trial_log.read(folder).trials[1].config.settings)
    assert [(name, type(value)) for name, value in values.items()] == [("num_workers", int), ("pin_memory", bool)]


@pytest.mark.parametrize("line", [1, 2, 3])
def test_a_torn_line_costs_its_trial_and_no_other(folder: Path, line: int) -> None:
    path = folder / trial_log.TRIALS_FILE
    lines = path.read_bytes().split(b"\n")
    lines[line] = lines[line][: len(lines[line]) // 2]
    path.write_bytes(b"\n".join(lines))
    found = trial_log.read(folder)
    assert [one.number for one in found.trials] == [n for n in range(3) if n != line - 1]
    assert found.damaged == 1


def test_the_last_line_may_be_cut_anywhere(folder: Path) -> None:
    path = folder / trial_log.TRIALS_FILE
    whole = path.read_bytes()
    begin = whole.rstrip(b"\n").rindex(b"\n")
    for cut in range(begin, len(whole), 7):
        path.write_bytes(whole[:cut])
        assert trial_log.read(folder).trials == TRIALS


def test_after_a_torn_line_new_trials_are_whole(folder: Path) -> None:
    path = folder / trial_log.TRIALS_FILE
    path.write_bytes(path.read_bytes()[:-20])
    trial_log.TrialLog(folder).add(trial(3, num_workers=1))
    assert [one.number for one in trial_log.read(folder).trials] == [0, 1, 2, 3]


def test_a_whole_line_that_is_no_trial_is_set_aside(folder: Path) -> None:
    from advisor.storage import record_file

    record_file.append(folder / trial_log.TRIALS_FILE, {"number": 3, "config": "fast"})
    found = trial_log.read(folder)
    assert (found.trials, found.damaged) == (TRIALS, 1)


def test_a_folder_without_a_search_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no search was started there"):
        trial_log.read(tmp_path)


def test_a_log_of_another_version_is_not_guessed_at(tmp_path: Path) -> None:
    from advisor.storage import record_file

    record_file.append(tmp_path / trial_log.TRIALS_FILE, {"asked": {"version": 99}})
    with pytest.raises(StorageError, match="version 99"):
        trial_log.read(tmp_path)


def test_the_same_request_goes_on(folder: Path) -> None:
    trial_log.check_alike(trial_log.read(folder), REQUEST, folder)


@pytest.mark.parametrize(
    ("name", "value"), [("script", "other.py"), ("arguments", []), ("tolerance", 0.1), ("knobs", ["precision"])]
)
def test_what_differs_is_named_with_both_values(folder: Path, name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"started with {name} .*, not "):
        trial_log.check_alike(trial_log.read(folder), {**REQUEST, name: value}, folder)


def test_two_cannot_search_in_one_folder(tmp_path: Path) -> None:
    with (
        trial_log.held(tmp_path),
        pytest.raises(UsageError, match="another process is searching"),
        trial_log.held(tmp_path),
    ):
        pass


def test_a_folder_is_free_again_afterwards(tmp_path: Path) -> None:
    with trial_log.held(tmp_path):
        pass
    with trial_log.held(tmp_path):
        pass


def test_a_renewed_key_resumes_a_search_that_was_begun_by_version_0_2_with_another(tmp_path: Path) -> None:
    trial_log.TrialLog(tmp_path).begin({"arguments": ["--api-key", "old", "--lr", "1"]})
    past = trial_log.read(tmp_path)
    assert past.request["arguments"] == ["--api-key", "***", "--lr", "1"]
    trial_log.check_alike(past, {"arguments": ["--api-key", "***", "--lr", "1"]}, tmp_path)
    with pytest.raises(UsageError, match="resume it with the same options"):
        trial_log.check_alike(past, {"arguments": ["--api-key", "***", "--lr", "2"]}, tmp_path)
