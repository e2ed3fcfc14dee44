"""The plan of windows over a training loop; the controller's end of the channel is a list."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from advisor import wire
from advisor.agent.loop.clock import BACKWARD, DATA_WAIT, RESTART, StepClock
from advisor.agent.loop.roots import Roots
from advisor.agent.loop.steps import Steps
from advisor.agent.probe import conductor
from advisor.agent.probe.conductor import Conductor
from advisor.agent.probe.recorder import Recorder
from advisor.agent.settings.controls import Controls
from advisor.agent.settings.precision import Precision
from advisor.refused import Refused
from advisor.standard_error import of_mean
from advisor.verification.windows import first_window


class Left(BaseException):
    """What `os._exit` is in a process of its own."""


class Channel:
    def __init__(self, *plans: wire.Plan | wire.Stop) -> None:
        self.plans: list[Any] = list(plans[:1])
        self.later: list[Any] = list(plans[1:])
        """Sent once the script waits for them."""
        self.sent: list[Any] = []

    def poll(self) -> list[Any]:
        plans, self.plans = self.plans[:1], self.plans[1:]
        return plans

    def wait(self, _seconds: float) -> list[Any]:
        self.plans, self.later = self.later[:1], self.later[1:]
        return self.poll()

    def send(self, message: Any) -> None:
        self.sent.append(message)

    def of(self, kind: type[Any]) -> list[Any]:
        return [message for message in self.sent if isinstance(message, kind)]


class Loaders:
    in_flight = 0
    switches = 0
    busy: float | None = None
    workers = 0
    epoch: int | None = None
    train: object = "known"
    is_caching = False
    read_anew = 0

    def take_read_anew(self) -> int:
        count, self.read_anew = self.read_anew, 0
        return count

    def __init__(self) -> None:
        self.deliveries = SimpleNamespace(hold_ends=False)

    def in_flight_batches(self) -> int:
        return self.in_flight

    def fetching_workers(self) -> int:
        return self.workers

    def busy_workers(self, batches_per_s: float) -> float | None:
        assert batches_per_s > 0
        return self.busy

    def epoch_batches(self) -> int | None:
        return self.epoch

    def end_epoch_now(self) -> None: ...

    def together(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


class Instruments:
    refuses = False

    def enter(self, _window: wire.Window) -> None:
        if self.refuses:
            raise Refused("not this script")

    def begin(self, _window: wire.Window) -> None: ...

    def leave(self, _window: wire.Window) -> None: ...

    def on_report(self, _window: wire.Window) -> None: ...

    def recorder(self) -> Recorder:
        return Recorder(lambda: 1, None)

    def finish(self, _window: wire.Window) -> dict[str, Any]:
        return {"extra": {}}

    def samples_from(self) -> str:
        return "not known"


class Loop:
    """A loop of updates on a real clock."""

    def __init__(self, *plans: wire.Plan | wire.Stop, now: Callable[[], int] = time.perf_counter_ns) -> None:
        self.clock = StepClock(now)
        self.channel = Channel(*plans)
        self.instruments = Instruments()
        self.left: str | None = None
        roots, steps = Roots(self.clock), Steps(self.clock)
        self.controls = Controls(self.clock, roots, steps, Loaders(), Precision(roots))
        self.conductor = Conductor(self.controls, self.channel, self.instruments, 0, self._leave, 0.0)
        self.clock.on_update = self.conductor.on_update

    def run(self, updates: int, after: Callable[[int], None] = lambda _number: None) -> Loop:
        for number in range(updates):
            self.clock.push(BACKWARD)
            self.clock.pop()
            try:
                self.clock.end_update()
            except Left:
                break
            after(number)
        return self

    def _leave(self, reason: str) -> None:
        self.left = self.left or reason
        raise Left


def _window(name: str, **settings: Any) -> wire.Window:
    return wire.Window(**{"id": name, "warm_up_updates": 2, "min_updates": 4, "max_updates": 4, **settings})


def test_windows_are_run_in_order_and_then_it_leaves() -> None:
    loop = Loop(wire.Plan([_window("one"), _window("two")], final=True)).run(40)
    assert [done.id for done in loop.channel.of(wire.WindowDone)] == ["one", "two"]
    assert loop.left == "plan done"


def test_settling_updates_are_dropped_and_told() -> None:
    (done,) = Loop(wire.Plan([_window("one")], final=True)).run(40).channel.of(wire.WindowDone)
    assert (done.dropped_updates, len(done.wall_s)) == (2, 4)


def test_batches_fetched_during_a_pause_are_waited_for() -> None:
    loop = Loop(wire.Plan([_window("one")], final=True))
    loop.controls.loaders.in_flight = 7
    assert loop.run(40).channel.of(wire.WindowDone)[0].dropped_updates == 7


@pytest.fixture
def what_if(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make a what-if that does nothing but say this of itself."""

    def make(enter: Callable[[Any], None] = lambda _controls: None, **said: Any) -> None:
        found = SimpleNamespace(enter=enter, leave=None, **{"settle_updates": 1, "pauses_workers": False, **said})
        monkeypatch.setattr("advisor.whatif.get", lambda _name: found)

    return make


def dropped(*windows: wire.Window, waits: bool, busy: float | None = None) -> list[int]:
    """Updates that each window let pass, in a loop whose workers hold seven batches and are busy for this fraction."""
    loop = Loop(wire.Plan(list(windows), final=True))
    loop.controls.loaders.in_flight, loop.controls.loaders.busy = 7, busy
    loop.run(80, waiting_for_data(loop) if waits else lambda _number: time.sleep(0.001))
    return [done.dropped_updates for done in loop.channel.of(wire.WindowDone)]


BESIDE = (_window("before"), _window("tried", what_if="any"), _window("after"))


def test_a_queue_that_is_empty_stays_so_whatever_the_loop_computes(what_if: Callable[..., None]) -> None:
    what_if()
    assert dropped(*BESIDE, waits=True)[1:] == [2, 2]


def test_a_queue_that_is_full_stays_so_where_workers_keep_up(what_if: Callable[..., None]) -> None:
    what_if()
    assert dropped(*BESIDE, waits=False, busy=0.5)[1:] == [2, 2]


@pytest.mark.parametrize("busy", [0.9, None])
def test_a_loop_that_outruns_its_workers_is_counted_again_without_the_batches_fetched_before(
    what_if: Callable[..., None], busy: float | None
) -> None:
    what_if()
    before, tried, after = dropped(*BESIDE, waits=False, busy=busy)
    assert (before, tried, after) == (7, 2 + 4 + 7, 2)


def test_batches_that_workers_fetched_while_none_was_taken_are_no_pace_of_theirs(
    what_if: Callable[..., None],
) -> None:
    what_if(pauses_workers=True)
    _before, tried, after = dropped(*BESIDE, waits=True)
    assert tried == 2
    assert after > 7


def test_a_queue_that_is_always_full_is_as_full_after_a_pause(what_if: Callable[..., None]) -> None:
    what_if(pauses_workers=True)
    assert dropped(*BESIDE, waits=False, busy=0.5)[1:] == [2, 2]


@pytest.mark.parametrize(
    ("window", "changes"),
    [
        (_window("as written"), 0),
        (_window("set", config={"threads": torch.get_num_threads()}), 1),
        (_window("traced", kind="trace"), 1),
        (_window("tried", what_if="any"), 1),
    ],
)
def test_what_changes_the_script_is_told_before(
    window: wire.Window, changes: int, what_if: Callable[..., None]
) -> None:
    what_if()
    told = []
    loop = Loop(wire.Plan([_window("first"), window], final=True))
    loop.conductor.before_change = lambda: told.append(dict(loop.controls.settings))
    loop.run(40)
    assert told == [{}] * changes


def test_workers_get_ahead_of_updates_that_are_traced() -> None:
    windows = (_window("before"), _window("traced", kind="trace"), _window("after"))
    assert dropped(*windows, waits=True)[2] > 7
    assert dropped(*windows, waits=False)[2] == 2


def test_batches_of_another_loader_are_waited_for(what_if: Callable[..., None]) -> None:
    def switch(controls: Any) -> None:
        controls.loaders.switches += 1

    what_if(switch)
    assert dropped(*BESIDE, waits=False)[1] == 7


def test_an_answer_that_comes_within_an_update_is_no_pause() -> None:
    loop = Loop(wire.Plan([_window("one")], final=False), wire.Plan([_window("two")], final=True))
    loop.controls.loaders.in_flight = 7
    loop.run(80, waiting_for_data(loop))
    assert loop.channel.of(wire.WindowDone)[1].dropped_updates == 2


def waiting_for_data(loop: Loop, wait_s: float = 0.002) -> Callable[[int], None]:
    """Wait for data in each update, most of its time."""

    def wait(_number: int) -> None:
        loop.clock.push(DATA_WAIT)
        time.sleep(wait_s)
        loop.clock.pop()

    return wait


def test_workers_that_are_waited_for_deliver_what_they_began_together_before_a_window_counts() -> None:
    loop = Loop(wire.Plan([_window("one")], final=True))
    loop.controls.loaders.in_flight = 8
    loop.controls.loaders.workers = 4
    (done,) = loop.run(60, waiting_for_data(loop)).channel.of(wire.WindowDone)
    assert done.dropped_updates == 9  # the update of the switch, and then those in flight


def test_a_window_is_long_enough_that_the_bursts_of_its_workers_average_out() -> None:
    loop = Loop(wire.Plan([_window("one", max_updates=100)], final=True))
    loop.controls.loaders.workers = 4
    (done,) = loop.run(60, waiting_for_data(loop)).channel.of(wire.WindowDone)
    assert (len(done.wall_s), done.extra) == (16, {})


def test_one_epoch_shows_all_bursts_of_its_workers() -> None:
    loop = Loop(wire.Plan([_window("one", max_updates=100)], final=True))
    loop.controls.loaders.workers, loop.controls.loaders.epoch = 40, 32
    (done,) = loop.run(60, waiting_for_data(loop)).channel.of(wire.WindowDone)
    assert (len(done.wall_s), done.extra) == (32, {})


def starting_a_loader(loop: Loop, every: int) -> Callable[[int], None]:
    """Start a loader in every so many updates."""

    def start(number: int) -> None:
        if number % every == every - 1:
            loop.clock.push(RESTART)
            loop.clock.pop()

    return start


@pytest.mark.parametrize(("epoch", "every", "counted"), [(100, 5, 5), (2, 2, 4), (None, 5, 4)])
def test_the_beginning_of_an_epoch_is_no_update_of_a_short_window(epoch: int | None, every: int, counted: int) -> None:
    """Unless every second one begins an epoch, or nobody knows how often they do."""
    loop = Loop(wire.Plan([_window("one", warm_up_updates=1, max_updates=100)], final=True))
    loop.controls.loaders.epoch = epoch
    (done,) = loop.run(60, starting_a_loader(loop, every)).channel.of(wire.WindowDone)
    assert len(done.wall_s) == counted
    assert any(done.off_step_s["loader_restart"]) or epoch is None


def test_workers_that_keep_up_need_no_longer_window() -> None:
    loop = Loop(wire.Plan([_window("one", max_updates=100)], final=True))
    loop.controls.loaders.workers = 4
    (done,) = loop.run(60, lambda _number: time.sleep(0.001)).channel.of(wire.WindowDone)
    assert len(done.wall_s) == 4


def test_a_window_whose_time_ends_first_says_how_many_updates_it_needed() -> None:
    loop = Loop(wire.Plan([_window("one", max_updates=100, max_s=0.02)], final=True))
    loop.controls.loaders.workers = 40
    (done,) = loop.run(100, waiting_for_data(loop)).channel.of(wire.WindowDone)
    assert len(done.wall_s) < 160
    assert done.extra == {"needed_updates": 160}


def test_a_window_of_cached_samples_ends_where_one_is_read_anew() -> None:
    loop = Loop(wire.Plan([_window("one", max_updates=100, min_updates=20)], final=True))
    loop.controls.loaders.is_caching = True

    def reads_anew(number: int) -> None:
        loop.controls.loaders.read_anew = int(number >= 10)

    (done,) = loop.run(60, reads_anew).channel.of(wire.WindowDone)
    assert len(done.wall_s) == 8  # 11 ended from cached samples; the first, which entered the window, and two settled


def test_a_window_whose_samples_are_all_read_anew_is_as_long_as_others() -> None:
    loop = Loop(wire.Plan([_window("one", max_updates=20)], final=True))
    loop.controls.loaders.is_caching = True

    def reads_anew(_number: int) -> None:
        loop.controls.loaders.read_anew = 1

    (done,) = loop.run(60, reads_anew).channel.of(wire.WindowDone)
    assert len(done.wall_s) == 4


def test_a_refused_window_says_why_and_the_next_is_run() -> None:
    loop = Loop(wire.Plan([_window("one"), _window("two")], final=True))
    loop.instruments.refuses = True
    loop.run(3)
    assert [(refused.id, refused.message) for refused in loop.channel.of(wire.WindowRefused)] == [
        ("one", "not this script"),
        ("two", "not this script"),
    ]


def test_a_plan_that_is_empty_is_waited_at() -> None:
    loop = Loop(wire.Plan([_window("one")]), wire.Plan([_window("two")], final=True)).run(40)
    assert [type(message).__name__ for message in loop.channel.sent] == ["WindowDone", "Idle", "WindowDone"]


def test_a_stop_reports_what_was_counted() -> None:
    loop = Loop(wire.Plan([_window("one", min_updates=10**6, max_updates=10**6, max_s=60.0)]))

    def stop(number: int) -> None:
        if number == 10:
            loop.conductor._polled_ns = loop.conductor._quiet_until_ns = -(10**12)  # the next poll is due
            loop.channel.plans = [wire.Stop("time ran out")]

    loop.run(40, stop)
    (done,) = loop.channel.of(wire.WindowDone)
    assert (done.cut_short, len(done.wall_s), loop.left) == ("time ran out", 9, "stopped")


def test_a_stop_in_the_warm_up_reports_the_update_that_has_just_ended() -> None:
    loop = Loop(wire.Plan([_window("one", warm_up_updates=50)]))

    def stop(number: int) -> None:
        if number == 5:
            loop.channel.plans = [wire.Stop("time ran out")]

    loop.run(40, stop)
    (done,) = loop.channel.of(wire.WindowDone)
    assert (done.dropped_updates, len(done.wall_s), loop.left) == (5, 1, "stopped")


def test_a_warm_up_has_its_own_limit() -> None:
    loop = Loop(
        wire.Plan([_window("one", warm_up_updates=50, warm_up_s=0.0, min_updates=3, max_updates=3)], final=True)
    )
    (done,) = loop.run(40).channel.of(wire.WindowDone)
    assert (done.dropped_updates, len(done.wall_s)) == (1, 3)


def test_a_script_that_ends_loses_nothing() -> None:
    loop = Loop(wire.Plan([_window("one", min_updates=50, max_updates=50)])).run(12)
    loop.conductor.script_ends("the script ended")
    (done,) = loop.channel.of(wire.WindowDone)
    assert (done.cut_short, len(done.wall_s)) == ("the script ended", 9)


def test_a_window_begins_anew_when_another_optimizer_ends_the_updates() -> None:
    loop = Loop(wire.Plan([_window("one", min_updates=8, max_updates=8)], final=True))

    def change(number: int) -> None:
        if number == 5:
            loop.controls.steps.main_changes += 1

    (done,) = loop.run(40, change).channel.of(wire.WindowDone)
    assert (done.dropped_updates, len(done.wall_s)) == (2 + 3 + 2, 8)


def test_a_fault_of_ours_is_told_and_ends_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop(wire.Plan([_window("one")], final=True))
    monkeypatch.setattr(Instruments, "begin", lambda _self, _window: 1 / 0)
    loop.run(40)
    assert (loop.left, "ZeroDivisionError" in loop.channel.of(wire.Note)[0].text) == ("agent error", True)


def precise_window(seconds: Callable[[int], float]) -> wire.WindowDone:
    """Run a window that asks for a precision of 30%, over updates of these lengths."""
    now = {"s": 0.0}
    window = _window("one", warm_up_updates=0, max_updates=400, precision=0.3)
    loop = Loop(wire.Plan([window], final=True), now=lambda: round(now["s"] * 1e9))

    def pass_time(number: int) -> None:
        now["s"] += seconds(number)

    (done,) = loop.run(400, after=pass_time).channel.of(wire.WindowDone)
    found: wire.WindowDone = done
    return found


def test_a_window_that_asks_for_precision_goes_on_until_its_updates_are_precise() -> None:
    done = precise_window(lambda number: 0.2 if number % 4 == 0 and number < 40 else 0.01)
    assert 4 < len(done.wall_s) < 400
    assert of_mean(done.wall_s) <= 0.3


def test_updates_that_are_precise_at_once_end_the_window_at_its_least() -> None:
    assert len(precise_window(lambda _number: 0.01).wall_s) == 4


def test_time_alone_does_not_end_the_warm_up_while_batches_of_the_pause_are_left() -> None:
    """A loader that filled its queue meanwhile would be counted as faster than it is."""
    window = _window("one", warm_up_updates=2, max_s=0.2)
    loop = Loop(wire.Plan([window], final=True))
    loop.controls.loaders.in_flight = 6
    (done,) = loop.run(40, after=lambda _number: time.sleep(0.025)).channel.of(wire.WindowDone)
    assert done.dropped_updates == 6


def test_nor_does_it_last_for_ever() -> None:
    loop = Loop(wire.Plan([_window("one", warm_up_updates=2, max_s=0.02)], final=True))
    loop.controls.loaders.in_flight = 1000
    (done,) = loop.run(400, after=lambda _number: time.sleep(0.003)).channel.of(wire.WindowDone)
    assert done.dropped_updates < 100


def test_signs_of_life_keep_a_waiting_script_waiting() -> None:
    alive = wire.Plan([], final=False)
    loop = Loop(alive, alive, alive, wire.Plan([_window("one")], final=True)).run(40)
    assert (loop.left, [done.id for done in loop.channel.of(wire.WindowDone)]) == ("plan done", ["one"])


def test_updates_of_half_a_minute_are_counted_as_often_as_asked_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    now = {"s": 0.0}
    monkeypatch.setattr(conductor, "time", SimpleNamespace(perf_counter=lambda: now["s"]))
    window = first_window(1.5)
    loop = Loop(wire.Plan([window], final=True), now=lambda: round(now["s"] * 1e9))

    def pass_time(_number: int) -> None:
        now["s"] += 30.0

    (done,) = loop.run(40, after=pass_time).channel.of(wire.WindowDone)
    assert (done.dropped_updates, len(done.wall_s)) == (1, window.least_updates)
