"""Leases on trials, in a real SQLite file and on a real PostgreSQL server."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import postgres
import pytest

from advisor.search import database, leases
from advisor.search.leases import DONE, GIVEN_UP, MOST_ATTEMPTS, RUNNING, WAITING, Leases

Member = Callable[..., Leases]
CONFIG = {"num_workers": 2}
SHORT_S = 0.2
OVER_S = 0.3


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def member(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Member]:
    """Makes the leases of a process on one search."""
    server: postgres.Server | None = None
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres_server")
    url = server.url if server is not None else f"sqlite:///{tmp_path / 'study.db'}"
    search, engines = uuid.uuid4().hex, []

    def made(owner: str, lease_s: float = leases.LEASE_S) -> Leases:
        engines.append(database.opened(url))
        return Leases(engines[-1], search, owner, lease_s=lease_s)

    yield made
    for engine in engines:
        engine.dispose()


def test_one_of_many_that_claim_at_once_gets_the_trial(member: Member) -> None:
    team = [member(f"process {number}") for number in range(8)]
    together, tokens = threading.Barrier(len(team)), []

    def claim(one: Leases) -> None:
        together.wait()
        tokens.append(one.claim(CONFIG))

    threads = [threading.Thread(target=claim, args=[one]) for one in team]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([token for token in tokens if token is not None]) == 1
    assert len(tokens) == len(team)


def test_one_of_many_gets_a_trial_whose_process_was_killed(member: Member) -> None:
    member("killed", lease_s=SHORT_S).claim(CONFIG)
    time.sleep(OVER_S)
    team = [member(f"process {number}") for number in range(8)]
    together, tokens = threading.Barrier(len(team)), []

    def claim(one: Leases) -> None:
        together.wait()
        tokens.append(one.claim(CONFIG))

    threads = [threading.Thread(target=claim, args=[one]) for one in team]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([token for token in tokens if token is not None]) == 1
    assert [(row.state, row.attempts) for row in team[0].rows()] == [(RUNNING, 2)]


@pytest.mark.parametrize("name", ["other", "slow"])
def test_a_process_that_was_only_slow_cannot_store_its_result(member: Member, name: str) -> None:
    """The other one may be the same search, resumed."""
    slow, other = member("slow", lease_s=SHORT_S), member(name)
    late = slow.claim(CONFIG)
    time.sleep(OVER_S)
    token = other.claim(CONFIG)
    assert late is not None
    assert token is not None
    assert not slow.renew(late)
    assert not slow.finish(late, "late")
    assert not slow.add(CONFIG, "late")
    assert other.finish(token, "first")
    assert [(row.state, row.record, row.owner) for row in other.rows()] == [(DONE, "first", name)]


def test_a_lease_that_nobody_wanted_meanwhile_still_holds(member: Member) -> None:
    slow = member("slow", lease_s=SHORT_S)
    token = slow.claim(CONFIG)
    time.sleep(OVER_S)
    assert token is not None
    assert slow.finish(token, "late")


def test_a_renewed_lease_is_not_free(member: Member) -> None:
    alive, other = member("alive", lease_s=2 * SHORT_S), member("other")
    token = alive.claim(CONFIG)
    assert token is not None
    for _ in range(4):
        time.sleep(SHORT_S)
        assert alive.renew(token)
        assert other.claim(CONFIG) is None
    assert [row.is_free for row in other.rows()] == [False]


def test_what_is_given_back_is_free_at_once_and_counts_as_no_attempt(member: Member) -> None:
    one, other = member("one"), member("other")
    one.claim(CONFIG)
    one.give_back()
    assert [(row.state, row.is_free, row.attempts) for row in other.rows()] == [(WAITING, True, 0)]
    assert other.claim(CONFIG) is not None


def test_a_trial_that_ends_every_process_is_given_up(member: Member) -> None:
    for number in range(MOST_ATTEMPTS):
        assert member(f"process {number}", lease_s=0.01).claim(CONFIG) is not None
        time.sleep(0.05)
    last = member("last")
    assert [(row.state, row.is_free) for row in last.rows()] == [(GIVEN_UP, False)]
    assert last.claim(CONFIG) is None


def test_what_is_done_is_not_run_again(member: Member) -> None:
    one, other = member("one"), member("other")
    token = one.claim(CONFIG)
    assert token is not None
    assert one.finish(token, "first")
    assert other.claim(CONFIG) is None
    assert not other.add(CONFIG, "second")


def test_a_clock_that_is_wrong_changes_nothing(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases go by the server's clock. (SQLite is a file: it has no other clock than the machine's.)"""
    one, other = member("one"), member("other")
    token = one.claim(CONFIG)
    assert token is not None
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert other.claim(CONFIG) is None
    assert one.renew(token)
    assert [row.is_free for row in other.rows()] == [False]
