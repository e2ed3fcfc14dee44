"""Phases by events on a stream, told by a simulated device: what the CPU's clock says wrongly, and what events say."""

from __future__ import annotations

import multiprocessing
from typing import Any

import pytest

from advisor.agent.loop.clock import (
    BACKWARD,
    CHECKPOINT,
    DATA_WAIT,
    FORWARD,
    HOST_TO_DEVICE,
    OPTIMIZER,
    StepClock,
    Update,
)
from advisor.agent.loop.device import Backend, Device, open_device

MS = 1_000_000


class Machine:
    """A CPU that launches and waits, and a stream that drains; nanoseconds."""

    def __init__(self) -> None:
        self.cpu_ns = 0
        self.drained_ns = 0

    def now(self) -> int:
        return self.cpu_ns

    def works(self, ms: float) -> None:
        self.cpu_ns += round(ms * MS)

    def launches(self, kernel_ms: float, launch_ms: float = 0.1) -> None:
        self.works(launch_ms)
        self.drained_ns = max(self.cpu_ns, self.drained_ns) + round(kernel_ms * MS)

    def waits_for_device(self) -> None:
        self.cpu_ns = max(self.cpu_ns, self.drained_ns)


class Event:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.at_ns: int | None = None

    def query(self) -> bool:
        assert self.at_ns is not None
        return self._machine.cpu_ns >= self.at_ns

    def elapsed_time(self, later: Event) -> float:
        assert self.query()
        assert later.query()
        assert self.at_ns is not None
        assert later.at_ns is not None
        return (later.at_ns - self.at_ns) / MS


class Stream(Backend):
    """Stands for torch's module of an accelerator."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.made = 0
        self.is_capturing = False
        self.synchronisations = 0

    def new_event(self) -> Event:
        self.made += 1
        return Event(self.machine)

    def record(self, event: Any, stream: Any) -> None:
        event.at_ns = max(self.machine.cpu_ns, self.machine.drained_ns)

    def current_stream(self) -> Any:
        return None

    def capturing(self) -> bool:
        return self.is_capturing

    def synchronize(self) -> None:
        self.synchronisations += 1
        self.machine.waits_for_device()


class Loop:
    """A training loop on the simulated machine, with the real clock and the real device layer."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.stream = Stream(self.machine)
        self.device = Device("cuda", self.stream)
        self.clock = StepClock(self.machine.now)
        self.clock.device = self.device
        self.updates: list[Update] = []
        self.by_cpu: list[list[int]] = []
        self.clock.on_update = self._on_update

    def _on_update(self, update: Update) -> None:
        self.updates.append(update)
        self.by_cpu.append(list(update.phases_ns))

    def step(self, wait_ms: float, kernels_ms: float, copy: str | None = None) -> None:
        clock, machine = self.clock, self.machine
        self._phase(DATA_WAIT, lambda: machine.works(wait_ms))
        if copy == "pageable":
            # The driver waits for the stream, copies, and only then returns.
            self._phase(HOST_TO_DEVICE, lambda: (machine.launches(2.0), machine.waits_for_device()))
        elif copy == "pinned":
            self._phase(HOST_TO_DEVICE, lambda: machine.launches(2.0))
        self._phase(FORWARD, lambda: machine.launches(kernels_ms / 3))
        self._phase(BACKWARD, lambda: machine.launches(kernels_ms * 2 / 3 - 0.5))
        self._phase(OPTIMIZER, lambda: machine.launches(0.5))
        clock.end_update()

    def _phase(self, phase: int, work: Any) -> None:
        self.clock.push(phase)
        work()
        self.clock.pop()

    def shares(self, phase: int) -> tuple[float, float]:
        """Of the loop's time by the CPU's clock and by events, the first two updates left out."""
        self.device.synchronize()
        assert self.device.resolve_ready(self.updates) == 0
        naive = sum(one[phase] for one in self.by_cpu[2:]) / sum(sum(one) for one in self.by_cpu[2:])
        events = [update.phases_ns for update in self.updates[2:]]
        return naive, sum(one[phase] for one in events) / sum(sum(one) for one in events)


def loop(updates: int = 20, **step: Any) -> Loop:
    result = Loop()
    for _ in range(updates):
        result.step(**step)
    return result


def test_a_wait_behind_a_busy_device_is_no_wait() -> None:
    naive, events = loop(wait_ms=6.0, kernels_ms=12.0).shares(DATA_WAIT)
    assert naive > 0.9
    assert events < 0.01


def test_an_exposed_wait_counts_from_when_the_device_has_drained() -> None:
    result = loop(wait_ms=20.0, kernels_ms=6.0)
    result.shares(DATA_WAIT)
    update = result.updates[-1]
    # Launching takes 0.3 ms, in which the device works already: of its 6.0 ms some 5.8 lie within the wait.
    assert update.phases_ns[DATA_WAIT] / MS == pytest.approx(14.2, abs=0.05)


def test_the_exposed_part_is_ready_minus_the_later_of_asked_and_drained() -> None:
    machine = Machine()
    device = Device("cuda", Stream(machine))
    machine.launches(10.0, launch_ms=0.0)
    machine.works(1.0)
    asked = device.record()
    machine.works(15.0)
    ready = device.record()
    machine.waits_for_device()
    assert device.elapsed_s(asked, ready) == pytest.approx((16.0 - max(1.0, 10.0)) / 1e3)


def test_a_pageable_copy_costs_its_own_time_and_not_the_wait_for_the_stream() -> None:
    result = loop(wait_ms=0.1, kernels_ms=12.0, copy="pageable")
    naive, events = result.shares(HOST_TO_DEVICE)
    assert naive > 0.9
    assert events == pytest.approx(2.0 / 14.0, rel=0.1)


def test_a_pinned_copy_that_does_not_block_counts_on_the_stream() -> None:
    naive, events = loop(wait_ms=0.1, kernels_ms=12.0, copy="pinned").shares(HOST_TO_DEVICE)
    assert naive == pytest.approx(0.2, abs=0.01)
    assert events == pytest.approx(2.0 / 14.0, rel=0.1)


def test_phases_still_add_up_to_the_update() -> None:
    result = loop(wait_ms=3.0, kernels_ms=5.0, copy="pinned")
    result.shares(FORWARD)
    assert all(update.end_ns - update.begin_ns == sum(update.phases_ns) for update in result.updates)


def test_updates_add_up_to_the_loops_wall_time() -> None:
    result = loop(wait_ms=3.0, kernels_ms=9.0)
    result.shares(FORWARD)
    total_ms = sum(update.end_ns - update.begin_ns for update in result.updates) / MS
    assert total_ms == pytest.approx(result.machine.cpu_ns / MS, abs=0.5)


def test_no_step_waits_for_the_device() -> None:
    assert loop(wait_ms=1.0, kernels_ms=50.0).stream.synchronisations == 0


def test_an_update_whose_events_have_not_passed_stays_queued() -> None:
    result = loop(updates=3, wait_ms=1.0, kernels_ms=50.0)
    waiting = result.device.resolve_ready(result.updates)
    assert waiting == 3
    assert result.updates[0].marks is not None
    assert [update.phases_ns for update in result.updates] == result.by_cpu


def test_what_is_ready_is_resolved_before_what_is_not() -> None:
    result = loop(updates=3, wait_ms=1.0, kernels_ms=50.0)
    result.machine.cpu_ns = 60 * MS
    assert result.device.resolve_ready(result.updates) == 2


def test_events_are_used_again() -> None:
    result = Loop()
    for _ in range(50):
        result.step(wait_ms=5.0, kernels_ms=3.0)
        result.device.resolve_ready(result.updates)
    # 10 marks an update; a few updates are in flight.
    assert result.stream.made < 50


def test_evaluation_between_steps_is_measured_on_the_device_too() -> None:
    result = Loop()
    clock, machine = result.clock, result.machine
    result.step(wait_ms=1.0, kernels_ms=3.0)
    clock.evaluation_begins()
    result._phase(FORWARD, lambda: machine.launches(40.0))
    clock.evaluation_ends()
    result.step(wait_ms=1.0, kernels_ms=3.0)
    result.device.synchronize()
    result.device.resolve_ready(result.updates)
    evaluation = result.updates[1].evaluation_ns
    assert evaluation is not None
    assert evaluation[FORWARD] / MS == pytest.approx(40.0, abs=0.5)
    assert result.updates[0].evaluation_ns is None


def test_checkpoints_keep_their_own_phase() -> None:
    result = Loop()
    result.clock.push(CHECKPOINT)
    result.machine.works(30.0)
    result.clock.pop()
    result.step(wait_ms=1.0, kernels_ms=3.0)
    result.device.synchronize()
    result.device.resolve_ready(result.updates)
    assert result.updates[0].phases_ns[CHECKPOINT] == 30 * MS


def test_a_fault_of_the_device_leaves_the_cpus_times() -> None:
    result = Loop()

    def broken(_event: Any, _stream: Any) -> None:
        raise RuntimeError("device lost")

    result.stream.record = broken  # type: ignore[method-assign]
    result.step(wait_ms=2.0, kernels_ms=3.0)
    assert result.updates[0].marks is None
    assert result.updates[0].phases_ns[DATA_WAIT] == 2 * MS
    assert "device lost" in (result.device.broken or "")


def test_nothing_is_recorded_while_a_graph_is_captured() -> None:
    result = Loop()
    result.stream.is_capturing = True
    before = result.stream.made
    result.clock.push(FORWARD)
    assert result.stream.made == before


def test_a_forked_worker_does_not_touch_the_device() -> None:
    device = Loop().device
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=lambda: queue.put((device.broken, device.take_marks())))
    process.start()
    process.join(20)
    assert queue.get() == ("this is a forked process", None)


def test_a_cpu_is_no_device() -> None:
    import torch

    assert open_device(torch) is None
    assert open_device(torch, "cpu") is None


def test_a_kind_that_torch_cannot_open_is_none() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one here")
    assert open_device(torch, "cuda") is None


@pytest.mark.gpu
def test_events_on_a_real_device_tell_a_long_kernel_from_a_wait() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    torch.cuda.init()
    device = open_device(torch)
    assert device is not None
    matrix = torch.randn(4096, 4096, device="cuda")
    begin = device.record()
    for _ in range(20):
        matrix @ matrix
    end = device.record()
    device.synchronize()
    assert device.elapsed_s(begin, end) > 0.0005
    assert (device.peak_bytes() or 0) >= 4096 * 4096 * 4
