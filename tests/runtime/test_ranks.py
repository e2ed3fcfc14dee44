"""Ranks that fail: whose error is told, and that none of them survives."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

import psutil
import pytest

from advisor import api, wire
from advisor.runtime.channel import Disconnected
from advisor.runtime.ranks import RankRecords, failure_of_ranks
from advisor.types import Failure, Profile
from runtime.rank_scripts import training

pytestmark = pytest.mark.usefixtures("thin", "rank_forks")


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def survivors(folder: Path) -> list[int]:
    """Return the processes, besides this one, that work in the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.cwd() == str(folder):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def failed(line: list[str], **options: float) -> tuple[Failure, Profile]:
    begin = time.monotonic()
    found = api.profile("torchrun", line, budget=6, runs="runs", isolation="none", **options)  # type: ignore[arg-type]
    assert time.monotonic() - begin < 60
    assert not survivors(Path.cwd())
    assert found.failure is not None
    return found.failure, found


@pytest.mark.slow(12)
@pytest.mark.usefixtures("no_forks")
def test_the_first_error_is_that_of_the_rank_that_raised_it(tmp_path: Path) -> None:
    line = training(tmp_path, each='if step == 30 and rank == 1: raise ValueError("sample 17")')
    failure, found = failed(line)
    assert failure.message == "rank 1 raised ValueError: sample 17"
    assert failure.stderr_tail.rstrip().endswith("ValueError: sample 17")
    assert {rank.rank for rank in found.ranks} == {0, 1}


@pytest.mark.slow(12)
def test_a_killed_rank_is_named_and_not_the_one_that_misses_it(tmp_path: Path) -> None:
    line = training(tmp_path, each="if step == 30 and rank == 1: os.kill(os.getpid(), signal.SIGKILL)")
    failure, _found = failed(line)
    assert failure.kind == "oom"
    assert failure.message.startswith("rank 1 was killed by SIGKILL")


@pytest.mark.slow(20)
@pytest.mark.usefixtures("no_forks")  # their frames are told
def test_a_rank_that_hangs_is_told_with_its_line(tmp_path: Path) -> None:
    line = training(tmp_path, each="time.sleep(3600) if step == 30 and rank == 1 else None")
    failure, _found = failed(line, no_progress_limit_s=5)
    assert failure.kind == "hang"
    number = (tmp_path / "train.py").read_text().splitlines().index(
        "    time.sleep(3600) if step == 30 and rank == 1 else None"
    ) + 1  # fmt: skip
    assert f"rank 1 is at train.py:{number} after 30 updates" in failure.message
    assert "rank 0 is at train.py" in failure.message
    assert "backward" in failure.message


@pytest.mark.slow(20)
@pytest.mark.usefixtures("no_forks")  # their frames are told
def test_a_rank_that_never_comes(tmp_path: Path) -> None:
    line = training(tmp_path, begin="time.sleep(3600) if rank == 1 else None\n")
    failure, _found = failed(line, no_progress_limit_s=5)
    assert failure.kind == "hang"
    assert "in init_process_group" in failure.message
    assert "rank 1 is at train.py:4" in failure.message


@pytest.mark.slow(12)
def test_a_rank_whose_loop_ends_first(tmp_path: Path) -> None:
    line = training(tmp_path, updates="(30 if rank == 1 else 40)")
    failure, _found = failed(line)
    assert failure.message.startswith("rank 1 ended after 30 updates, and rank 0 waited for it in vain")


@pytest.mark.slow(8)
def test_a_taken_port(tmp_path: Path) -> None:
    line = training(tmp_path)[1:]
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        failure, _found = failed([f"--master-port={taken.getsockname()[1]}", *line])
    assert "address already in use" in failure.message
    assert "leave out --master-port" in failure.message


# --- whose failure was the first, by what the ranks and the launcher have said ----------------------------------------

GONE = "RuntimeError: [pair.cc:553] Connection closed by peer [127.0.0.1]:35471"


def told(*messages: object, ranks: int = 2) -> RankRecords:
    found = RankRecords()
    for number in range(ranks):
        found.take(wire.Hello(version=2, token="", pid=number, rank=number, world_size=ranks))
    for message in messages:
        found.take(message)
    return found


def crashed(rank: int, text: str) -> wire.Crashed:
    return wire.Crashed(rank=rank, kind="crash", exceptions=[text], traceback="")


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "ranks.json"


def test_an_error_that_only_says_that_another_rank_is_gone_is_not_the_first(report: Path) -> None:
    found = told(crashed(0, GONE), crashed(1, "ValueError: sample 17"))
    first = found.first_crash(report)
    assert first is not None
    assert first.rank == 1
    assert failure_of_ranks(found, report, "torchrun") is None  # its own exception says it


def test_a_rank_that_the_launcher_saw_die_comes_before_the_error_of_one_that_misses_it(report: Path) -> None:
    report.write_text(json.dumps({"error": "", "ranks": [{"rank": 1, "pid": 8, "exit_code": -9}]}))
    found = told(crashed(0, GONE), Disconnected(rank=1))
    assert found.first_crash(report) is None
    assert failure_of_ranks(found, report, "torchrun") == (
        "oom",
        "rank 1 was killed by SIGKILL (exit 137), often the kernel's out-of-memory killer",
    )


def test_a_rank_that_is_gone_without_a_word_is_named_where_nobody_knows_more(report: Path) -> None:
    assert failure_of_ranks(told(Disconnected(rank=1)), report, "torchrun") == ("exit", "rank 1 ended without a word")
    assert failure_of_ranks(told(), report, "torchrun") is None


def test_ranks_that_count_unlike_updates_are_refused(report: Path) -> None:
    out = wire.Goodbye(rank=1, reason="out of step", updates=20)
    kind, message = failure_of_ranks(told(out), report, "torchrun") or ("", "")
    assert kind == "refused"
    assert "rank 1 had made 20 updates when rank 0 had made 0" in message


def test_a_rank_that_never_connected_is_told() -> None:
    found = RankRecords()
    found.take(wire.Hello(version=2, token="", pid=1, rank=0, world_size=2))
    found.take(wire.Beat(rank=0, updates=3, events=9, at="train.py:12, in backward"))
    assert found.whereabouts() == " (rank 0 is at train.py:12, in backward after 3 updates; rank 1 never came)"
