"""Ranks that fail: whose error is told, and that none of them survives."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import psutil
import pytest

from advisor import api
from advisor.types import Failure, Profile
from runtime.rank_scripts import training

MARK = "ADVISOR_TEST_RANKS"


@pytest.fixture(autouse=True)
def marked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setenv(MARK, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return str(tmp_path)


def survivors(mark: str) -> list[int]:
    """Return the processes, besides this one, that have the mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def failed(line: list[str], mark: str, **options: float) -> tuple[Failure, Profile]:
    begin = time.monotonic()
    found = api.profile("torchrun", line, budget=6, runs="runs", isolation="none", **options)  # type: ignore[arg-type]
    assert time.monotonic() - begin < 60
    assert not survivors(mark)
    assert found.failure is not None
    return found.failure, found


@pytest.mark.slow(12)
def test_the_first_error_is_that_of_the_rank_that_raised_it(tmp_path: Path, marked: str) -> None:
    line = training(tmp_path, each='if step == 30 and rank == 1: raise ValueError("sample 17")')
    failure, found = failed(line, marked)
    assert failure.message == "rank 1 raised ValueError: sample 17"
    assert failure.stderr_tail.rstrip().endswith("ValueError: sample 17")
    assert {rank.rank for rank in found.ranks} == {0, 1}


@pytest.mark.slow(12)
def test_a_killed_rank_is_named_and_not_the_one_that_misses_it(tmp_path: Path, marked: str) -> None:
    line = training(tmp_path, each="if step == 30 and rank == 1: os.kill(os.getpid(), signal.SIGKILL)")
    failure, _found = failed(line, marked)
    assert failure.kind == "oom"
    assert failure.message.startswith("rank 1 was killed by SIGKILL")


@pytest.mark.slow(20)
def test_a_rank_that_hangs_is_told_with_its_line(tmp_path: Path, marked: str) -> None:
    line = training(tmp_path, each="time.sleep(3600) if step == 30 and rank == 1 else None")
    failure, _found = failed(line, marked, no_progress_limit_s=8)
    assert failure.kind == "hang"
    number = (tmp_path / "train.py").read_text().splitlines().index(
        "    time.sleep(3600) if step == 30 and rank == 1 else None"
    ) + 1  # fmt: skip
    assert f"rank 1 is at train.py:{number} after 30 updates" in failure.message
    assert "rank 0 is at train.py" in failure.message
    assert "backward" in failure.message


@pytest.mark.slow(20)
def test_a_rank_that_never_comes(tmp_path: Path, marked: str) -> None:
    line = training(tmp_path, begin="time.sleep(3600) if rank == 1 else None\n")
    failure, _found = failed(line, marked, no_progress_limit_s=8)
    assert failure.kind == "hang"
    assert "in init_process_group" in failure.message
    assert "rank 1 is at train.py:4" in failure.message


@pytest.mark.slow(12)
def test_a_rank_whose_loop_ends_first(tmp_path: Path, marked: str) -> None:
    line = training(tmp_path, updates="(30 if rank == 1 else 40)")
    failure, _found = failed(line, marked)
    assert failure.message.startswith("rank 1 ended after 30 updates, and rank 0 waited for it in vain")


@pytest.mark.slow(8)
def test_a_taken_port(tmp_path: Path, marked: str) -> None:
    line = training(tmp_path)[1:]
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        failure, _found = failed([f"--master-port={taken.getsockname()[1]}", *line], marked)
    assert "address already in use" in failure.message
    assert "leave out --master-port" in failure.message
