"""One study for several searches, in a real SQLite file."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from advisor.errors import UsageError
from advisor.redaction import Redactor
from advisor.rules._examples import evolve, gpu
from advisor.search import database, studies
from advisor.search.database import check_url, shown
from advisor.search.goals import Goal
from advisor.search.leases import Leases
from advisor.search.shared_study import AWAY_S, SharedStudy, search_name
from advisor.search.space import Space
from advisor.types import Config, KnobSpace, Ratio, Trial, TrialOutcome

from .machine import EVIDENCE, INPUT_BOUND, Machine, workers_help

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
        self.members: list[SharedStudy] = []

    def member(
        self,
        name: str,
        space: Space = SPACE,
        goal: Goal | None = None,
        clock: Callable[[], float] = time.monotonic,
        **options: Any,
    ) -> SharedStudy:
        study = SharedStudy(self.url, name, self.notes.append, clock=clock, **options)
        self.members.append(study)
        study.open(space, goal or Goal(), WHO)
        return study


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty")
    SharedStudy(f"sqlite:///{folder / 'study.db'}", "", print).close()
    return folder / "study.db"


@pytest.fixture
def team(tmp_path: Path, empty: Path) -> Iterator[Team]:
    shutil.copyfile(empty, tmp_path / "study.db")
    team = Team(tmp_path)
    yield team
    for member in team.members:
        member.close()


@pytest.mark.slow
def test_what_one_measured_the_other_hears_once(team: Team) -> None:
    one, other = team.member("one"), team.member("other")
    one.tell(trial(1, 1.5, num_workers=2))
    heard = other.news(7)
    assert [(found.number, found.config, found.score) for found in heard] == [(7, Config.of({"num_workers": 2}), 1.5)]
    assert "another search" in heard[0].reason
    assert other.news(8) == []


def test_nobody_hears_himself(team: Team) -> None:
    one = team.member("one")
    one.tell(trial(1, 1.5, num_workers=2))
    assert one.news(2) == []


def test_failures_are_heard_too(team: Team) -> None:
    one, other = team.member("one"), team.member("other")
    one.tell(trial(1, None, num_workers=2))
    assert [found.outcome.kind for found in other.news(1)] == ["crash"]


def claimed(study: SharedStudy) -> set[Config]:
    study._read_at_s = None
    study._read_rows()
    return study.claimed_elsewhere()


def test_what_one_is_trying_is_taken_for_the_others_until_it_is_told(team: Team) -> None:
    one, other = team.member("one"), team.member("other")
    config = Config.of({"num_workers": 2})
    assert one.claim(config)
    assert not other.claim(config)
    assert (claimed(one), claimed(other)) == (set(), {config})
    one.tell(trial(1, 1.5, num_workers=2))
    assert claimed(other) == set()
    assert not other.claim(config)


def test_the_trial_of_a_search_that_was_killed_is_queued_again(team: Team) -> None:
    config, alive = Config.of({"num_workers": 2}), Config.of({"num_workers": 1})
    killed, other = team.member("killed", lease_s=0.2), team.member("other", lease_s=0.2)
    third = team.member("third", lease_s=0.2)
    assert killed.claim(config)
    assert third.claim(alive)
    killed._closed.set()  # its thread is gone with its process
    time.sleep(0.5)
    assert claimed(other) == {alive}  # a process that lives renews its lease
    assert other.queued_again() == [config]
    assert other.claim(config)
    killed.tell(trial(1, 9.0, num_workers=2))
    other.tell(trial(1, 1.5, num_workers=2))
    assert [found.score for found in third.news(7)] == [1.5]
    assert len(team.notes) == 1
    assert "was measured by another search meanwhile" in team.notes[0]


def test_a_search_that_is_closed_gives_its_trial_back_at_once(team: Team) -> None:
    one, other = team.member("one"), team.member("other")
    config = Config.of({"num_workers": 2})
    one.claim(config)
    one.close()
    assert claimed(other) == set()
    assert other.queued_again() == [config]


def test_a_search_that_goes_on_takes_its_own_claims_back(team: Team) -> None:
    team.member("one").claim(Config.of({"num_workers": 2}))
    other = team.member("other")
    team.member("one")
    assert claimed(other) == set()
    assert other.queued_again() == [Config.of({"num_workers": 2})]


def test_unlike_machines_goals_trainings_and_studies_share_nothing() -> None:
    names = {
        search_name("", Goal(), WHO, "machine"),
        search_name("", Goal(), WHO, "another"),
        search_name("", Goal(name="memory"), WHO, "machine"),
        search_name("", Goal(), ["other.py", False, []], "machine"),
        search_name("study", Goal(), WHO, "machine"),
    }
    assert len(names) == 5


def test_searches_with_unlike_spaces_share_what_both_can_try(team: Team) -> None:
    wider = Space(knobs=(KnobSpace(id="num_workers", values=(1, 2, 3), effect="exact", scope="live", opened_by=""),))
    one, other = team.member("one", wider), team.member("other")
    one.tell(trial(1, 3.0, num_workers=3))
    one.tell(trial(2, 2.0, num_workers=2))
    assert [found.score for found in other.news(7)] == [2.0]


def test_searches_agree_on_the_values_that_the_first_one_found_worth_trying(team: Team) -> None:
    """Values follow from a profile: those of two profiles differ by their noise, and nothing would be shared."""

    def space(*values: Any) -> Space:
        return Space(knobs=(KnobSpace(id="num_workers", values=values, effect="exact", scope="live", opened_by=""),))

    one, other = team.member("one", space(26, 13)), team.member("other", space(27, 13))
    assert one.agreed(space(26, 13)) == space(26, 13)
    assert other.agreed(space(27, 13)) == space(26, 13)
    one.tell(trial(1, 2.0, num_workers=26))
    assert [found.score for found in other.news(7)] == [2.0]


@pytest.mark.parametrize("text", ["[1, 2", "7", "[]", "[[1]]", '["many"]', "[-1]"])
def test_values_that_others_wrote_are_checked(team: Team, text: str) -> None:
    team.member("one")
    other = team.member("other", SPACE)
    with other._engine.begin() as connection:
        table = database.table(database.VALUES)
        connection.execute(table.update().values({"values": text}))
    assert other.agreed(SPACE) == SPACE


def test_a_follower_ends_when_another_search_finds_nothing_left_or_after_its_own_trials(team: Team) -> None:
    one, follower = team.member("one"), team.member("follower", follows=True)
    few = team.member("few", follows=True, most_trials=1)
    assert (one.ended, follower.ended, few.ended) == ("", "", "")
    few.tell(trial(1, 1.5, num_workers=2))
    assert few.ended == "1 of its own trials were asked for"
    one.end("4 suggestions in a row found nothing better")
    follower._read_at_s = None  # read half a second later
    assert one.ended == ""
    assert follower.ended == "the search has ended elsewhere: 4 suggestions in a row found nothing better"


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.slow(10)
def test_a_storage_that_goes_away_and_comes_back_is_used_again_with_what_was_measured_meanwhile(team: Team) -> None:
    clock, file = Clock(), Path(team.url.removeprefix("sqlite:///"))
    wide = Space(knobs=(KnobSpace(id="num_workers", values=(1, 2, 3), effect="exact", scope="live", opened_by=""),))
    one, other = team.member("one", wide, clock=clock), team.member("other", wide)
    one.tell(trial(1, 1.5, num_workers=1))
    away = file.rename(file.with_suffix(".away"))
    one.claim(Config.of({"num_workers": 2}))
    one.tell(trial(2, 2.5, num_workers=2))
    assert [("failed" in note, "on its own" in note) for note in team.notes] == [(True, True)]
    assert not file.exists()  # no new database that nobody else would see, at once
    away.rename(file)
    clock.now_s += AWAY_S - 1
    assert one.claim(Config.of({"num_workers": 3}))
    one.tell(trial(3, None, num_workers=3))
    clock.now_s += 2
    assert one.news(4) == []
    assert team.notes[1:] == [f"the storage {team.url} is back; trials measured meanwhile and shared now: 2"]
    assert [(found.number, found.score) for found in other.news(7)] == [(7, 1.5), (8, 2.5), (9, None)]
    assert (other.claimed_elsewhere(), len(team.notes)) == (set(), 2)


def test_what_the_storage_took_before_its_answer_was_lost_is_not_shared_twice(team: Team) -> None:
    clock = Clock()
    one, other = team.member("one", clock=clock), team.member("other")
    usual = Leases.finish

    def lost(*given: Any) -> Any:
        usual(*given)
        raise OSError("the answer is lost")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Leases, "finish", lost)
        one.claim(Config.of({"num_workers": 1}))
        one.tell(trial(1, 1.5, num_workers=1))
    clock.now_s = AWAY_S
    one.tell(trial(2, 2.5, num_workers=2))
    assert [found.score for found in other.news(7)] == [1.5, 2.5]


OPENS = """
import sys
from advisor.search.shared_study import SharedStudy
import sqlalchemy
print("ready", flush=True)
sys.stdin.readline()
SharedStudy(sys.argv[1], sys.argv[2], print)
print("open")
"""


@pytest.mark.slow(15)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_searches_that_open_a_new_database_at_once_all_get_it(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    url = "sqlite:///new.db"
    if kind == "postgresql":
        url = request.getfixturevalue("postgres_server").new_url()
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

    one._read = broken  # type: ignore[method-assign]
    assert (one.news(1), one.claimed_elsewhere()) == ([], set())
    assert one.claim(Config.of({"num_workers": 2}))
    assert len(team.notes) == 1
    assert "continues on its own" in team.notes[0]


@pytest.mark.slow
@pytest.mark.parametrize("record", ["{", "[]", '{"number": "x"}', "x" * 200_000, None, 7])
def test_what_others_wrote_is_checked(team: Team, record: Any) -> None:
    one, other = team.member("one"), team.member("other")
    one._leases.add({"num_workers": 2}, record)
    assert other.news(1) == []
    assert team.notes == []


def test_values_that_are_not_in_the_space_are_not_taken_over(team: Team) -> None:
    narrow = Space(knobs=(KnobSpace(id="num_workers", values=(1,), effect="exact", scope="live", opened_by=""),))
    one, other = team.member("one"), team.member("other", narrow)
    one.tell(trial(1, 9.0, num_workers=2))
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


def test_secrets_in_what_a_script_said_do_not_get_into_the_database(team: Team) -> None:
    redactor = Redactor.of_words(["--api-key", "Hunter2-xyz"], {})
    one = team.member("one", redactor=redactor)
    outcome = TrialOutcome(kind="crash", message="login with Hunter2-xyz failed")
    one.tell(replace(trial(1, None, num_workers=2), outcome=outcome))
    (heard,) = team.member("other").news(1)
    assert heard.outcome.message == "login with *** failed"
    assert b"Hunter2" not in Path(team.url.removeprefix("sqlite:///")).read_bytes()


def test_machines_are_alike_by_what_speeds_depend_on() -> None:
    hardware = EVIDENCE.hardware
    usual = studies.machine_key(hardware, "2.13.0")
    a_little_more = hardware.memory.ram_bytes + 2**20
    alike = evolve(hardware, {"memory": {"ram_bytes": a_little_more}, "hostname": "another", "system": "Linux 7"})
    assert studies.machine_key(alike, "2.13.0") == usual
    unlike = [
        studies.machine_key(evolve(hardware, {"cpu": {"model": "another"}}), "2.13.0"),
        studies.machine_key(evolve(hardware, {"cpu": {"usable_cpus": 64.0}}), "2.13.0"),
        studies.machine_key(evolve(hardware, {"accelerators": (gpu(),)}), "2.13.0"),
        studies.machine_key(hardware, "2.14.0"),
    ]
    assert len({usual, *unlike}) == 5


def slow_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session asks a search that waits again after a moment; the made-up machine asks at once."""
    usual = SharedStudy._read_rows

    def read(study: SharedStudy) -> None:
        time.sleep(0.05)
        usual(study)

    monkeypatch.setattr(SharedStudy, "_read_rows", read)


def test_a_search_waits_for_a_trial_elsewhere_and_runs_it_once_its_process_is_killed(
    team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_polls(monkeypatch)
    alone = Machine(tmp_path, workers_help, INPUT_BOUND)
    lost = alone.study.trials[-1].config
    killed = SharedStudy(team.url, "killed", team.notes.append, lease_s=2.0)
    other = SharedStudy(team.url, "other", team.notes.append)
    team.members += [killed, other]
    torch = EVIDENCE.hardware.torch
    machine_key = studies.machine_key(EVIDENCE.hardware, torch.version if torch is not None else None)
    killed.open(alone.study.space, Goal(), [], machine_key)
    assert killed.claim(lost)
    killed._closed.set()
    (tmp_path / "other").mkdir()
    machine = Machine(tmp_path / "other", workers_help, INPUT_BOUND, shared=other)
    (again,) = [found for found in machine.study.trials if found.config == lost]
    assert again.reason.startswith("queued again")
    assert {str(found.config) for found in alone.study.trials} <= {str(found.config) for found in machine.study.trials}


def test_two_searches_share_their_work_and_keep_their_logs(team: Team, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    notes = team.notes
    team.members = [SharedStudy(team.url, name, notes.append) for name in ("one", "two")]
    first = Machine(tmp_path / "one", workers_help, INPUT_BOUND, shared=team.members[0])
    second = Machine(tmp_path / "two", workers_help, INPUT_BOUND, shared=team.members[1])
    assert sorted(map(str, first.tried)) == sorted(map(str, second.tried))
    assert not any(window.id.startswith("trial") for window in second.order)
    assert second.recommended().config == first.recommended().config
    assert (tmp_path / "two" / "trials.jsonl").stat().st_size > 1000
