"""Workers as tasks of a real Ray cluster of two nodes, of which one is lost."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import postgres
import pytest
import sqlalchemy as sql

from advisor.search import database
from advisor.search.leases import DONE, RUNNING
from advisor.target.command import build
from advisor.workflows import study_record
from advisor.workflows.tune_request import Asked, checked

from .commands import Desk, ended, training

NODES = """\
import sys
from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
other = cluster.add_node(num_cpus=1)
print(cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(other, allow_graceful=False)
    print("removed", flush=True)
cluster.shutdown()
"""
"""Host of the cluster: Ray changes the process that it runs in."""
WAIT_S = 90.0
ASKED: Asked = {
    "budget": "30s",
    "preset": "quick",
    "knobs": ["num_workers", "threads"],
    "no_knobs": (),
    "mapped": {},
    "objective": "throughput",
    "price": None,
    "tolerance": None,
    "updates": None,
    "allow_training": False,
}
SETUP = """\
class Slow(torch.utils.data.Dataset):
    def __len__(self):
        return 100_000
    def __getitem__(self, index):
        time.sleep(0.0005)
        return torch.zeros(10)
rows = iter(DataLoader(Slow(), batch_size=8))
"""

pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")


@pytest.fixture
def nodes(desk: Desk) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with (desk.folder / "nodes.log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-c", NODES], stdin=pipe, stdout=pipe, stderr=log, text=True)
        yield process
        process.communicate(timeout=WAIT_S)


def until(happened: Callable[[], bool]) -> None:
    until_s = time.monotonic() + WAIT_S
    while not happened():
        assert time.monotonic() < until_s
        time.sleep(0.1)


@pytest.mark.slow(120)
def test_the_trial_on_a_node_that_is_lost_is_run_on_another(
    desk: Desk, nodes: Any, postgres_server: postgres.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, engine, table = postgres_server.new_url(), None, database.table(database.TRIALS)
    desk.script(training(setup=SETUP, loop="next(rows)", updates=100_000))
    monkeypatch.chdir(desk.project)
    study_record.begin(checked(build("train.py"), ASKED, verify=False, storage=url, study="one"), ASKED)
    engine = database.opened(url)

    def rows() -> list[Any]:
        with engine.connect() as connection:
            return list(connection.execute(sql.select(table)))

    address = nodes.stdout.readline().strip()
    words = ("--study", "one", "--storage", url, "--ray", address, "--workers", "2", "--json")
    workers = desk.start("worker", "--runs", desk.runs, *words)
    until(lambda: len({row.owner for row in rows() if row.state == RUNNING}) == 2)
    nodes.stdin.write("\n")
    nodes.stdin.flush()
    assert nodes.stdout.readline() == "removed\n"
    time.sleep(2.0)  # its processes end with it
    with engine.begin() as connection:  # a minute later
        connection.execute(table.update().where(table.c.state == RUNNING).values(lease_until_s=0.0))
    done = ended(workers)
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout)["workers_lost"] >= 1, done.stderr
    assert "another one starts" in done.stderr
    assert {row.state for row in rows()} == {DONE}
    assert max(row.attempts for row in rows()) == 2
    engine.dispose()


@pytest.mark.slow(20)
def test_a_cluster_that_does_not_answer_is_one_line(desk: Desk) -> None:
    done = desk.advisor("worker", "--study", "x", "--storage", "sqlite:///x.db", "--ray", "127.0.0.1:1")
    assert done.code == 2, done.stderr
    assert done.last_line.startswith("advisor: cannot connect to --ray 127.0.0.1:1: ")
    assert "Traceback" not in done.stderr
