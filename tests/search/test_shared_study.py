"""One study for several searches, in a real SQLite file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from advisor.errors import UsageError
from advisor.search.goals import Goal
from advisor.search.shared_study import AWAY_S, CLAIM, SharedStudy, check_url, shown, study_name
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

    def member(
        self, name: str, space: Space = SPACE, goal: Goal | None = None, clock: Callable[[], float] = time.monotonic
    ) -> SharedStudy:
        study = SharedStudy(self.url, name, self.notes.append, clock=clock)
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


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.slow(10)
def test_a_storage_that_goes_away_and_comes_back_is_used_again_with_what_was_measured_meanwhile(team: Team) -> None:
    clock, file = Clock(), Path(team.url.removeprefix("sqlite:///"))
    one, other = team.member("one", clock=clock), team.member("other")
    one.tell(trial(1, 1.5, num_workers=1), 1.5)
    away = file.rename(file.with_suffix(".away"))
    one.claim(Config.of({"num_workers": 2}))
    one.tell(trial(2, 2.5, num_workers=2), 2.5)
    assert [("failed" in note, "on its own" in note) for note in team.notes] == [(True, True)]
    assert not file.exists()  # no new database that nobody else would see, at once
    away.rename(file)
    clock.now_s += AWAY_S - 1
    assert one.claimed_elsewhere() == set()
    one.tell(trial(3, None, num_workers=2), None)
    clock.now_s += 2
    assert one.news(4) == []
    assert team.notes[1:] == [f"the storage {team.url} is back; trials measured meanwhile and shared now: 2"]
    assert [(found.number, found.score) for found in other.news(7)] == [(7, 1.5), (8, 2.5), (9, None)]
    assert (other.claimed_elsewhere(), len(team.notes)) == (set(), 2)


def test_what_the_storage_took_before_its_answer_was_lost_is_not_shared_twice(team: Team) -> None:
    clock = Clock()
    one, other = team.member("one", clock=clock), team.member("other")
    usual = one._create

    def lost(*given: Any) -> Any:
        usual(*given)
        raise OSError("the answer is lost")

    one._create = lost  # type: ignore[method-assign]
    one.tell(trial(1, 1.5, num_workers=1), 1.5)
    one._create = usual  # type: ignore[method-assign]
    clock.now_s = AWAY_S
    one.tell(trial(2, 2.5, num_workers=2), 2.5)
    assert [found.score for found in other.news(7)] == [1.5, 2.5]


OPENS = """
import sys
from advisor.search.shared_study import SharedStudy, imported
import alembic, optuna.storages, sqlalchemy
imported()
print("ready", flush=True)
sys.stdin.readline()
SharedStudy(sys.argv[1], sys.argv[2], print)
print("open")
"""


@pytest.mark.slow(15)
@pytest.mark.parametrize("url", ["sqlite:///new.db", os.environ.get("ADVISOR_TEST_DATABASE", "")])
def test_searches_that_open_a_new_database_at_once_all_get_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ADVISOR_TEST_DATABASE` may be the URL of an empty database on a server."""
    if not url:
        pytest.skip("no database server")
    monkeypatch.chdir(tmp_path)
    argv = [sys.executable, "-c", OPENS, url]
    pipe = subprocess.PIPE
    team = [subprocess.Popen([*argv, name], stdin=pipe, stdout=pipe, stderr=pipe, text=True) for name in "abcd"]
    for one in team:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in team:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    assert [one.communicate(timeout=100) for one in team] == [("open\n", "")] * 4


def test_a_database_without_its_driver_names_it() -> None:
    with pytest.raises(UsageError, match=r"cannot open storage='mysql\+cymysql://h/d': install its driver cymysql, or"):
        SharedStudy("mysql+cymysql://h/d", "one", print)


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
