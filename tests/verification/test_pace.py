"""The progress of a verification: which process of how many, and the most that the rest may take."""

from __future__ import annotations

from collections.abc import Callable

from advisor.progress import SilentProgress
from advisor.verification.pace import Pace


class Listener(SilentProgress):
    def __init__(self) -> None:
        self.said: list[str] = []
        self.left_s: Callable[[], float] = lambda: -1.0

    def stage(self, what: str, *, windows: int | None = None) -> None:
        self.said.append(what)

    def time_left(self, left_s: Callable[[], float]) -> None:
        self.left_s = left_s


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_the_process_that_is_due_is_announced_with_the_most_there_can_be() -> None:
    heard = Listener()
    pace = Pace(progress=heard, budget_s=600.0)
    pace.plan(20)
    pace.next()
    pace.done()
    pace.next()
    pace.done()
    pace.plan(9)
    pace.next()
    assert heard.said == [
        "verifying: process 1 of at most 20",
        "verifying: process 2 of at most 20",
        "verifying: process 3 of at most 11",
    ]


def test_the_time_left_comes_from_the_processes_so_far() -> None:
    heard, clock = Listener(), Clock()
    pace = Pace(progress=heard, budget_s=600.0, clock=clock)
    pace.plan(10)
    assert heard.left_s() == 600.0
    clock.now_s += 12
    pace.done()
    assert heard.left_s() == 9 * 12
    clock.now_s += 4
    pace.done()
    assert heard.left_s() == 8 * 8


def test_it_is_never_more_than_the_budget_and_never_negative() -> None:
    heard, clock = Listener(), Clock()
    pace = Pace(progress=heard, budget_s=60.0, process_s=20.0, clock=clock)
    pace.plan(2)
    assert heard.left_s() == 40.0
    pace.plan(20)
    assert heard.left_s() == 60.0
    clock.now_s += 100
    assert heard.left_s() == 0.0
