"""Workers of a study on a real PostgreSQL, as commands: they share their trials, and survive what happens to them."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import postgres
import pytest
import sqlalchemy as sql

from advisor.search import database
from advisor.search.leases import DONE, RUNNING
from advisor.storage import run_store

from .commands import Desk, ended, training

SETUP = """\
class Slow(torch.utils.data.Dataset):
    def __len__(self):
        return 100_000
    def __getitem__(self, index):
        time.sleep(0.0005)
        return torch.zeros(10)
rows = iter(DataLoader(Slow(), batch_size=8))
"""
"""A loader that more workers help, and a loop that asks it."""
WAIT_S = 60.0


class Shared:
    """A study of a script that waits for its data."""

    def __init__(self, desk: Desk, url: str) -> None:
        self.desk, self.url = desk, url
        desk.environment |= {"ADVISOR_STORAGE": url, "HOME": str(desk.folder)}
        desk.script(training(setup=SETUP, loop="next(rows)", updates=100_000))
        self.engine = database.opened(url)

    def tune(self, *words: str) -> Any:
        usual = ("--study", "one", "--budget", "40", "--no-verify", "--knobs", "num_workers,threads", "-f")
        return self.desk.start("tune", "--runs", self.desk.runs / "tune", *usual, *words, "train.py", thin=True)

    def worker(self, name: str, *words: str) -> Any:
        usual = ("--study", "one", "--wait", "1m", "--json")
        return self.desk.start("worker", "--runs", self.desk.runs / name, *usual, *words, thin=True)

    def rows(self) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(sql.select(database.table(database.TRIALS))))

    def until(self, happened: Callable[[], bool]) -> None:
        until_s = time.monotonic() + WAIT_S
        while not happened():
            assert time.monotonic() < until_s
            time.sleep(0.05)


@pytest.fixture
def study(desk: Desk, postgres_server: postgres.Server) -> Any:
    found = Shared(desk, postgres_server.new_url())
    yield found
    found.engine.dispose()


@pytest.mark.slow(60)
def test_the_trial_of_a_worker_that_is_killed_is_run_by_another_one(study: Shared) -> None:
    tune = study.tune()
    killed = study.worker("killed")
    study.until(lambda: len({row.owner for row in study.rows() if row.state == RUNNING}) == 2)
    tune.send_signal(signal.SIGKILL)
    killed.send_signal(signal.SIGKILL)
    for process in (tune, killed):
        process.communicate()
    lost = {row.config for row in study.rows() if row.state == RUNNING}
    assert lost
    with study.engine.begin() as connection:  # a minute later
        connection.execute(database.table(database.TRIALS).update().values(lease_until_s=0.0))
    other = ended(study.worker("other"))
    assert other.code == 0, other.stderr
    rows = study.rows()
    again = {row.config: (row.state, row.attempts) for row in rows if row.config in lost}
    assert set(again.values()) == {(DONE, 2)}
    assert len({row.config for row in rows}) == len(rows)
    assert other.json["trials_here"] >= len(lost)
    assert study.desk.left() == []
    own = run_store.load_profile(study.desk.runs / "other" / other.json["run"])
    earlier = [run_store.load_profile(path) for path in study.desk.runs.glob("[tk]*/*/profile.json")]
    assert own.run_id == other.json["run"]
    assert own.steps in [profile.steps for profile in earlier]  # it did not profile once more


@pytest.mark.slow(40)
def test_a_search_survives_a_database_that_goes_away_and_returns(study: Shared, postgres_server: Any) -> None:
    tune = study.tune()
    study.until(lambda: any(row.state == RUNNING for row in study.rows()))
    postgres_server.stop()
    time.sleep(1.0)
    postgres_server.start()
    done = ended(tune)
    assert done.code == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stdout + done.stderr
    (log,) = study.desk.runs.glob("tune/*/trials.jsonl")
    assert len(log.read_text().splitlines()) > 1
    assert len({row.config for row in study.rows()}) == len(study.rows())


@pytest.mark.slow(40)
def test_a_worker_ends_at_once_where_the_search_is_over(study: Shared) -> None:
    tune = study.tune("--knobs", "threads")
    done = ended(tune)
    assert done.code == 0, done.stderr
    begin_s = time.monotonic()
    late = ended(study.worker("late"))
    assert (late.code, late.json["run"], late.json["trials_here"]) == (0, None, 0)
    assert late.json["ended"].startswith("nothing that is worth a trial was left")
    assert time.monotonic() - begin_s < 10.0
