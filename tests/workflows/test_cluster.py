"""Workers as tasks, on processes of this machine. `tests/faults/test_workers_on_ray.py` has a real cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from advisor.errors import ScriptError, UsageError
from advisor.progress import SilentProgress
from advisor.workflows.cluster import MOST_LOST, Done, Failed, Lost, Outcome, keep_working
from advisor.workflows.ray_cluster import RayCluster, run

FORK = multiprocessing.get_context("fork")


class Processes:
    """A cluster of processes: each puts its outcome in a queue, or is killed before."""

    def __init__(self, *work: Callable[[], Outcome]) -> None:
        self._work, self.started = work, 0
        self._outcomes: dict[Any, Any] = {}
        self.stopped: list[Any] = []

    def start(self) -> Any:
        work, queue = self._work[min(self.started, len(self._work) - 1)], FORK.SimpleQueue()
        self.started += 1
        process = FORK.Process(target=lambda: queue.put(work()))
        process.start()
        self._outcomes[process] = queue
        return process

    def wait(self, tasks: Sequence[Any], timeout_s: float) -> Mapping[Any, Outcome]:
        tasks[0].join(timeout_s)
        return {task: self._outcome(task) for task in tasks if not task.is_alive()}

    def _outcome(self, task: Any) -> Outcome:
        queue = self._outcomes[task]
        return Lost(message="killed") if queue.empty() else queue.get()

    def stop(self, tasks: Sequence[Any]) -> None:
        self.stopped += tasks
        for task in tasks:
            task.kill()
            task.join()


class Notes(SilentProgress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def over() -> Outcome:
    return Done(here=2, ended="nothing was left to try")


def killed() -> Outcome:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def hangs() -> Outcome:
    time.sleep(600)
    raise AssertionError


def test_a_worker_that_is_lost_is_replaced() -> None:
    progress, cluster = Notes(), Processes(killed, killed, over)
    found = keep_working(cluster, 1, progress=progress, poll_s=0.05)
    assert (found.here, found.workers, found.lost, found.ended) == (2, 3, 2, "nothing was left to try")
    assert progress.notes == ["a worker was lost (killed); another one starts"] * 2


def test_workers_that_are_always_lost_are_not_replaced_for_ever() -> None:
    cluster = Processes(killed)
    found = keep_working(cluster, 2, poll_s=0.05)
    assert (found.here, cluster.started, found.lost) == (0, 2 + 2 * MOST_LOST, 2 + 2 * MOST_LOST)


def test_a_worker_that_has_run_its_trials_is_followed_by_another_until_the_search_is_over() -> None:
    cluster = Processes(
        lambda: Done(here=1, ended="", has_more=True), lambda: Done(here=1, ended="", has_more=True), over
    )
    found = keep_working(cluster, 1, poll_s=0.05)
    assert (found.here, found.workers) == (4, 3)


def test_a_worker_that_fails_is_not_replaced_and_the_others_go_on() -> None:
    progress, cluster = Notes(), Processes(lambda: Failed(message="no study 'x'"), over)
    found = keep_working(cluster, 2, progress=progress, poll_s=0.05)
    assert (found.here, found.failures, cluster.started) == (2, ["no study 'x'"], 2)


def test_an_error_of_all_workers_is_one_of_the_command() -> None:
    with pytest.raises(ScriptError, match="no worker came to its end: no study 'x'"):
        keep_working(Processes(lambda: Failed(message="no study 'x'")), 2, poll_s=0.05)


def test_workers_are_stopped_by_an_interruption() -> None:
    class Interrupted(Processes):
        def wait(self, tasks: Sequence[Any], timeout_s: float) -> Mapping[Any, Outcome]:
            raise KeyboardInterrupt

    cluster = Interrupted(hangs)
    with pytest.raises(KeyboardInterrupt):
        keep_working(cluster, 2, poll_s=0.05)
    assert [task.is_alive() for task in cluster.stopped] == [False, False]


def test_what_a_worker_says_against_its_study_is_an_outcome(tmp_path: Path) -> None:
    found = run({"study": "x", "storage": f"sqlite:///{tmp_path}/s.db"})
    assert found["failed"].startswith(f"{os.uname().nodename}: no study 'x' in ")


def test_without_ray_the_command_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        UsageError, match=r"ray='auto' needs Ray, which is not installed: pip install \"advisor\[ray\]\""
    ):
        RayCluster("auto", devices=0, cpus=1, keywords={})
