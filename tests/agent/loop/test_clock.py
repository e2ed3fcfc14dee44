"""The step clock on a clock that the test turns: which phase every nanosecond belongs to."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.agent.loop.clock import (
    BACKWARD,
    CHECKPOINT,
    DATA_WAIT,
    FORWARD,
    IN_STEP,
    OPTIMIZER,
    OTHER,
    PHASE_NAMES,
    RESTART,
    StepClock,
    Update,
)
from advisor.types import PHASES


class Turned:
    """Nanoseconds that pass when the test says so, and the updates that have ended."""

    def __init__(self) -> None:
        self.now_ns = 1000
        self.clock = StepClock(lambda: self.now_ns)
        self.ended: list[Update] = []
        self.clock.on_update = self.ended.append

    def passes(self, nanoseconds: int) -> None:
        self.now_ns += nanoseconds

    def phase(self, phase: int, nanoseconds: int) -> None:
        self.clock.push(phase)
        self.passes(nanoseconds)
        self.clock.pop()

    def update(self) -> dict[str, int]:
        """End the update: phase → nanoseconds, those of none left out."""
        self.clock.end_update()
        spent = zip(PHASE_NAMES, self.ended[-1].phases_ns, strict=True)
        return {name: nanoseconds for name, nanoseconds in spent if nanoseconds}


def test_time_belongs_to_the_phase_on_top() -> None:
    turned = Turned()
    turned.phase(DATA_WAIT, 5)
    turned.passes(1)
    turned.phase(FORWARD, 10)
    turned.phase(BACKWARD, 20)
    assert turned.update() == {"data_wait": 5, "other": 1, "forward": 10, "backward": 20}


def test_the_time_before_a_push_belongs_to_what_was_open_until_then() -> None:
    turned = Turned()
    turned.clock.push(OPTIMIZER)
    turned.passes(3)
    turned.clock.push(FORWARD)  # a closure
    turned.passes(10)
    turned.clock.pop()
    turned.passes(4)
    turned.clock.pop()
    turned.passes(100)
    assert turned.update() == {"optimizer": 7, "forward": 10, "other": 100}


def test_the_next_update_begins_with_nothing() -> None:
    turned = Turned()
    turned.phase(FORWARD, 10)
    turned.update()
    turned.phase(BACKWARD, 2)
    assert turned.update() == {"backward": 2}


@given(st.lists(st.tuples(st.sampled_from(range(len(PHASE_NAMES))), st.integers(0, 50), st.booleans()), max_size=30))
def test_phases_add_up_to_the_update(steps: list[tuple[int, int, bool]]) -> None:
    turned = Turned()
    for phase, nanoseconds, opens in steps:
        if opens or turned.clock.depth == 1:
            turned.clock.push(phase)
        else:
            turned.clock.pop()
        turned.passes(nanoseconds)
    turned.update()
    (update,) = turned.ended
    assert sum(update.phases_ns) == update.end_ns - update.begin_ns


def test_a_phase_that_an_exception_left_open_ends_with_the_update() -> None:
    turned = Turned()
    turned.clock.push(FORWARD)
    turned.passes(5)
    assert turned.update() == {"forward": 5}
    turned.passes(3)
    assert turned.update() == {"other": 3}


def test_phases_above_a_depth_are_ended_together() -> None:
    turned = Turned()
    turned.clock.push(OPTIMIZER)
    depth = turned.clock.depth
    turned.clock.push(FORWARD)
    turned.clock.push(BACKWARD)
    turned.passes(5)
    turned.clock.pop_to(depth)
    assert (turned.clock.depth, turned.clock.phase) == (depth, OPTIMIZER)
    turned.passes(2)
    assert turned.update() == {"forward": 5, "optimizer": 2}  # the lowest of those that were left open


def test_a_wait_that_was_a_restart_is_one() -> None:
    turned = Turned()
    turned.clock.push(DATA_WAIT)
    turned.passes(8)
    turned.clock.rename_top(RESTART)
    turned.clock.pop()
    assert turned.update() == {"loader_restart": 8}


def test_our_own_work_is_charged_to_no_phase_and_no_update() -> None:
    turned = Turned()
    turned.clock.push(FORWARD)
    turned.passes(5)
    turned.clock.exclude(lambda: turned.passes(1000))
    turned.passes(1)
    turned.clock.pop()
    assert turned.update() == {"forward": 6}
    assert turned.ended[0].end_ns - turned.ended[0].begin_ns == 6


def test_an_evaluation_holds_its_part_of_each_phase() -> None:
    turned = Turned()
    turned.phase(FORWARD, 10)
    turned.clock.evaluation_begins()
    turned.phase(FORWARD, 30)
    turned.phase(DATA_WAIT, 4)
    turned.clock.evaluation_ends()
    turned.phase(CHECKPOINT, 6)
    turned.update()
    (update,) = turned.ended
    assert update.evaluation_ns is not None
    assert (update.evaluation_ns[FORWARD], update.evaluation_ns[DATA_WAIT], update.phases_ns[FORWARD]) == (30, 4, 40)
    assert update.beside_ns == 30 + 4 + 6


def test_metrics_after_the_last_evaluated_batch_are_part_of_the_evaluation() -> None:
    turned = Turned()
    turned.clock.evaluation_begins()
    turned.phase(FORWARD, 30)
    turned.clock.evaluation_ends()
    turned.passes(25)
    assert turned.clock.awaits_training
    turned.clock.training_continues()
    turned.phase(DATA_WAIT, 5)
    turned.passes(3)
    turned.update()
    (update,) = turned.ended
    assert update.evaluation_ns is not None
    assert (sum(update.evaluation_ns), update.evaluation_ns[OTHER], update.phases_ns[OTHER]) == (55, 25, 28)
    assert not turned.clock.awaits_training


def test_time_while_updates_are_handed_on_belongs_to_none() -> None:
    turned = Turned()
    turned.clock.on_update = lambda _update: turned.passes(500)
    turned.phase(FORWARD, 10)
    turned.clock.end_update()
    turned.clock.on_update = turned.ended.append
    turned.phase(FORWARD, 1)
    assert turned.update() == {"forward": 1}


def test_only_one_thread_trains_and_none_in_a_forked_child() -> None:
    clock = Turned().clock
    others: list[bool] = []
    thread = threading.Thread(target=lambda: others.extend((clock.mine(), clock.own(), clock.mine())))
    thread.start()
    thread.join()
    assert (others, clock.mine()) == ([False, True, True], False)
    clock.own()
    clock.forked()
    assert (clock.mine(), clock.own(), clock.mine()) == (False, False, False)


def test_the_phases_of_an_update_are_those_that_reports_know() -> None:
    assert PHASE_NAMES[:IN_STEP] == PHASES
    assert PHASE_NAMES[OTHER] == "other"


@pytest.mark.parametrize("phase", [FORWARD, OPTIMIZER])
def test_a_hook_can_ask_how_long_the_present_phase_lasts(phase: int) -> None:
    turned = Turned()
    turned.clock.push(phase)
    turned.passes(7)
    assert (turned.clock.elapsed_in_phase_ns(), turned.clock.inside(phase), turned.clock.inside(BACKWARD)) == (
        7,
        True,
        False,
    )
