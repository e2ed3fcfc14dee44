"""One study for several searches, in a real SQLite file."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from advisor.errors import UsageError
from advisor.search.goals import Goal
from advisor.search.shared_study import CLAIM, SharedStudy, check_url, shown, study_name
from advisor.search.space import Space
from advisor.types import Config, KnobSpace, Ratio, Trial, TrialOutcome

from .machine import INPUT_BOUND, Machine, workers_help

SPACE = Space(knobs=(KnobSpace(id="num_workers", values=(1, 2), effect="exact", scope="live", opened_by=""),))
WHO = ["train.py", False, []]


def trial(number: int, score: float | None, **settings: Any) -> Trial:
    ratio = Ratio(speedup=score, low=score, high=score, rounds=1) if score is not None else None
    kind: Any = "measured" if score is not None else "crash"
    return Trial(
        number=number,
        config=Config.of(settings),
        reason="x",
        effect="exact",
        outcome=TrialOutcome(kind=kind),
        ratio=ratio,
        score=score,
    )


class Team:
    """Searches on one file, with what they were told."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'study.db'}"
        self.notes: list[str] = []

    def member(self, name: str, space: Space = SPACE, goal: Goal | None = None) -> SharedStudy:
        study = SharedStudy(self.url, name, self.notes.append)
        study.open(space, goal or Goal(), WHO)
        return study


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Making the tables takes seconds; once is enough."""
    folder = tmp_path_factory.mktemp("empty")
    SharedStudy(f"sqlite:///{folder / 'study.db'}", "", print)
    return folder / "study.db"


@pytest.fixture
def team(tmp_path: Path, empty: Path) -> Team:
    shutil.copyfile(empty, tmp_path / "study.db")
    return Team(tmp_path)


@pytest.mark.slow
def test_what_one_measured_the_other_hears_once(team: Team) -> None:
    one, other = team.member("one"), team.member("other")
    one.tell(trial(1, 1.5, num_workers=2), 1.5)
    heard = other.news(7)
    assert [(found.number, found.config, found.score) for found in heard] == [(7, Config.of({"num_workers": 2}), 1.5)]
    assert "another search" in heard[0].reason
    assert other.news(8) == []


def test_nobody_hears_himself(team: Team) -> None:
    one = team.member("one")
    one.tell(trial(1, 1.5, num_workers=2), 1.5)
    assert one.news(2) == []


def test_failures_are_heard_too(team: Team) -> None:
    one, other = team.member("one"), team.member("other")
    one.tell(trial(1, None, num_workers=2), None)
    assert [found.outcome.kind for found in other.news(1)] == ["crash"]


def test_what_one_is_trying_is_taken_for_the_others_until_it_is_told(team: Team) -> None:
    one, other = team.member("one"), team.member("other")
    config = Config.of({"num_workers": 2})
    one.claim(config)
    assert (one.claimed_elsewhere(), other.claimed_elsewhere()) == (set(), {config})
    one.tell(trial(1, 1.5, num_workers=2), 1.5)
    assert other.claimed_elsewhere() == set()


def test_the_claim_of_a_search_that_was_killed_ends_by_itself(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = team.member("one"), team.member("other")
    one.claim(Config.of({"num_workers": 2}))

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + CLAIM + timedelta(seconds=1)

    monkeypatch.setattr("advisor.search.shared_study.datetime", Later)
    assert other.claimed_elsewhere() == set()


def test_a_search_that_goes_on_takes_its_own_claims_back(team: Team) -> None:
    team.member("one").claim(Config.of({"num_workers": 2}))
    other = team.member("other")
    team.member("one")
    assert other.claimed_elsewhere() == set()


def test_another_space_or_another_goal_is_another_study(team: Team) -> None:
    wider = Space(knobs=(KnobSpace(id="num_workers", values=(1, 2, 3), effect="exact", scope="live", opened_by=""),))
    names = {
        study_name(SPACE, Goal(), WHO),
        study_name(wider, Goal(), WHO),
        study_name(SPACE, Goal(name="memory"), WHO),
        study_name(SPACE, Goal(), ["other.py", False, []]),
    }
    assert len(names) == 4


def test_a_storage_that_fails_is_left_and_told_once(team: Team) -> None:
    one = team.member("one")

    def broken(*_: Any, **__: Any) -> Any:
        raise OSError("the database is gone")

    one._storage.get_all_trials = broken
    assert (one.news(1), one.claimed_elsewhere()) == ([], set())
    assert len(team.notes) == 1
    assert "continues on its own" in team.notes[0]


@pytest.mark.slow
@pytest.mark.parametrize("record", ["{", "[]", '{"number": "x"}', "x" * 200_000, None, 7])
def test_what_others_wrote_is_checked(team: Team, record: Any) -> None:
    one, other = team.member("one"), team.member("other")
    one._create(Config.of({"num_workers": 2}), one._optuna.trial.TrialState.COMPLETE, 1.5, record)
    assert other.news(1) == []
    assert team.notes == []


def test_values_that_are_not_in_the_space_are_not_taken_over(team: Team) -> None:
    one, other = team.member("one"), team.member("other")
    one._space = Space(knobs=SPACE.knobs)
    record = trial(1, 9.0, num_workers=2)
    one._tell(record, 9.0)
    other._space = Space(knobs=(KnobSpace(id="num_workers", values=(1,), effect="exact", scope="live", opened_by=""),))
    assert other.news(1) == []


@pytest.mark.parametrize("url", ["study.db", "journal:///x", "http://host/db", "file:///etc/passwd", ""])
def test_what_is_no_database_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="sqlite, postgresql, mysql"):
        check_url(url)


def test_a_database_that_cannot_be_opened_is_told_without_its_password(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/missing/study.db"
    with pytest.raises(UsageError, match="cannot open"):
        SharedStudy(url, "one", print)
    assert shown("postgresql://me:secret@host/db") == "postgresql://***@host/db"


def test_two_searches_share_their_work_and_keep_their_logs(team: Team, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    notes = team.notes
    first = Machine(tmp_path / "one", workers_help, INPUT_BOUND, shared=SharedStudy(team.url, "one", notes.append))
    second = Machine(tmp_path / "two", workers_help, INPUT_BOUND, shared=SharedStudy(team.url, "two", notes.append))
    assert sorted(map(str, first.tried)) == sorted(map(str, second.tried))
    assert not any(window.id.startswith("trial") for window in second.order)
    assert second.recommended().config == first.recommended().config
    assert (tmp_path / "two" / "trials.jsonl").stat().st_size > 1000
