"""When a window that has not ended is reported: a script that hangs or is killed cannot end it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from advisor import wire
from advisor.agent.probe.so_far import MOST_UPDATES, SoFar

SLOW_NS, FAST_NS = 20_000_000, 1_000_000


class Counting:
    """A conductor that counts a window."""

    def __init__(self, **window: Any) -> None:
        self.window: wire.Window | None = wire.Window(id="one", **window)
        self.recorder: Any = SimpleNamespace(updates=[], counted_ns=0)
        self.sent: list[Any] = []
        self.clock = SimpleNamespace(events=0)
        self.so_far = SoFar(self, self.clock, self, rank=0)  # type: ignore[arg-type]  # as far as it is needed

    def counting(self) -> Any:
        return self.window, self.recorder

    def report_so_far(self, _window: Any, recorder: Any) -> int:
        return len(recorder.updates)

    def send(self, message: Any) -> None:
        self.sent.append(message.done if isinstance(message, wire.SoFar) else message)

    def train(self, updates: int, update_ns: int = SLOW_NS) -> None:
        self.recorder.updates += [None] * updates
        self.recorder.counted_ns += updates * update_ns
        self.clock.events += updates

    def look(self) -> list[Any]:
        self.so_far.look()
        return self.sent


def test_long_updates_are_reported_now_and_then() -> None:
    counting = Counting()
    for _look in range(60):
        counting.train(3)
        counting.look()
    assert counting.sent[0] == 3
    assert all(later >= 1.5 * earlier for earlier, later in zip(counting.sent, counting.sent[1:], strict=False))
    assert counting.sent[-1] <= MOST_UPDATES


def test_short_updates_are_left_alone_until_nothing_moves() -> None:
    counting = Counting()
    for _look in range(4):
        counting.train(500, FAST_NS)
        assert counting.look() == []
    assert counting.look() == [2000]
    assert counting.look() == [2000]


def test_an_evaluation_is_no_standstill() -> None:
    counting = Counting()
    counting.train(500, FAST_NS)
    for _batch in range(5):
        counting.clock.events += 1
        assert counting.look() == []


@pytest.mark.parametrize("window", [{"kind": "trace"}, {"config": {"threads": 1}}, {"what_if": "no_optimizer"}])
def test_a_window_with_a_change_is_not_reported(window: dict[str, Any]) -> None:
    counting = Counting(**window)
    counting.train(10)
    assert (counting.look(), counting.look()) == ([], [])


def test_the_next_window_begins_anew() -> None:
    counting = Counting()
    counting.train(60)
    counting.look()
    counting.recorder = SimpleNamespace(updates=[], counted_ns=0)
    counting.train(3)
    assert counting.look() == [60, 3]


def test_a_fault_of_ours_is_told_and_ends_nothing() -> None:
    counting = Counting()
    counting.train(3)
    counting.recorder.updates = None
    (note,) = counting.look()
    assert note.kind == "agent_error"
