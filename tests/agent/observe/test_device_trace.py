"""The window on the device's own clock: a simulated device, the real step clock, and torch's profiler on a CPU."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
import torch

from advisor.agent.loop.clock import BACKWARD, DATA_WAIT, FORWARD, StepClock
from advisor.agent.loop.device import Device
from advisor.agent.observe import kineto
from advisor.agent.observe.device_trace import NO_CLOCK, DeviceTrace
from advisor.agent.observe.kineto import Kineto, UnavailableError, spans_of

SHIFT_NS = 1_700_000_000_000_000_000
"""Difference between the profiler's clock and the script's."""


class Event:
    """Stands for one of Kineto's events."""

    def __init__(self, name: str, on: str, begin_ns: int, length_ns: int, correlation: int = 0, **given: int) -> None:
        self._values: dict[str, Any] = {
            "name": name,
            "device_type": f"DeviceType.{on}",
            "start_ns": begin_ns,
            "duration_ns": length_ns,
            "correlation_id": correlation,
            "nbytes": given.get("nbytes", 0),
            "device_index": given.get("device", 0),
            "device_resource_id": given.get("stream", 7),
        }

    def __getattr__(self, name: str) -> Any:
        value = self._values[name]
        return lambda: value


class Gpu:
    """A device of which one kernel takes 2 ms, with the profiler that sees it."""

    def __init__(self, why_not: str = "", drift_ns: int = 0) -> None:
        self.events: list[Event] = []
        self.recording = False
        self.waits = 0
        self.why_not = why_not
        self.drift_ns = drift_ns

    def launch(self) -> None:
        now_ns = time.perf_counter_ns() + SHIFT_NS
        number = len(self.events) + 1
        self.events += [
            Event("cudaLaunchKernel", "CPU", now_ns, 2_000, number),
            Event("kernel", "CUDA", now_ns + 5_000, 2_000_000, number),
        ]

    # --- as `Backend` and as the profiler ---------------------------------------------------------------------------

    def new_event(self) -> object:
        return object()

    def record(self, _event: object, _stream: object) -> None:
        assert not self.recording, "events of ours would stand between the script's launches"

    def current_stream(self) -> None:
        return None

    def capturing(self) -> bool:
        return False

    def synchronize(self) -> None:
        self.waits += 1
        drift_ns = self.drift_ns * len(self.events)
        begin_ns = time.perf_counter_ns() + SHIFT_NS + drift_ns
        self.events.append(Event("cudaDeviceSynchronize", "CPU", begin_ns, 1_000))

    def start(self) -> None:
        if self.why_not:
            raise UnavailableError(self.why_not)
        self.recording, self.events = True, []

    def stop(self) -> Any:
        self.recording = False
        return spans_of(self.events)


class Loop:
    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu
        self.clock = StepClock()
        self.clock.device = self.device = Device("cuda", gpu)  # type: ignore[arg-type]
        self.trace = DeviceTrace(self.clock, lambda _kind: gpu)

    def update(self) -> None:
        self.clock.push(DATA_WAIT)
        time.sleep(0.004)
        self.clock.pop()
        self.clock.push(FORWARD)
        self.gpu.launch()
        self.clock.pop()
        self.clock.push(BACKWARD)
        time.sleep(0.003)
        self.clock.pop()
        self.clock.end_update()

    def traced(self, updates: int = 4) -> dict[str, Any]:
        self.trace.start()
        for _ in range(updates):
            self.update()
        return self.trace.stop()


def test_the_device_idles_while_the_loop_waits_for_data() -> None:
    found = Loop(Gpu()).traced()["device"]
    assert found["updates"] == 3
    assert found["busy_s"] == pytest.approx(2e-3, rel=0.01)
    assert found["idle_s"]["data_wait"] == pytest.approx(4e-3, rel=0.4)
    assert found["idle_s"]["data_wait"] > 3 * found["idle_s"].get("forward", 0.0)
    assert found["cost_s"] > 0


def test_a_gap_names_the_line_that_waited() -> None:
    found = Loop(Gpu()).traced(updates=12)["device"]
    waits = [gap for gap in found["gaps"] if gap["phase"] == "data_wait"]
    assert waits[0]["file"] == __file__
    assert waits[0]["function"] == "update"


def test_clocks_that_drift_apart_are_told() -> None:
    assert Loop(Gpu(drift_ns=1_000_000_000)).traced() == {"why_no_device": NO_CLOCK}


def test_the_clock_has_its_device_again_and_tensors_their_methods() -> None:
    before = torch.Tensor.item
    loop = Loop(Gpu())
    loop.traced()
    assert loop.clock.device is loop.device
    assert torch.Tensor.item is before


def test_a_profiler_that_cannot_be_had_is_told_and_the_updates_run() -> None:
    loop = Loop(Gpu(why_not="another profiler holds it"))
    assert loop.traced() == {"why_no_device": "another profiler holds it"}
    assert loop.clock.updates == 4
    assert loop.clock.device is loop.device


def test_a_script_without_an_accelerator_is_told_so() -> None:
    trace = DeviceTrace(StepClock())
    trace.start()
    assert "no accelerator" in trace.stop()["why_no_device"]


def test_no_event_of_the_device_is_told_as_the_reason() -> None:
    gpu = Gpu()
    loop = Loop(gpu)
    gpu.launch = lambda: None  # type: ignore[method-assign]
    assert "no event of the device came back" in loop.traced()["why_no_device"]


# --- torch's profiler -------------------------------------------------------------------------------------------------


def test_events_become_spans_of_the_device_with_most_work() -> None:
    device, calls = spans_of(
        [
            Event("cudaMemcpyAsync", "CPU", 90, 20, 4),
            Event("cudaStreamSynchronize", "CPU", 120, 50),
            Event("Memcpy HtoD (Pageable -> Device)", "CUDA", 100, 40, 4, nbytes=64),
            Event("ncclDevKernel_AllReduce", "CUDA", 200, 30),
            Event("Stream Sync", "CUDA", 0, 1000),
            Event("kernel on another device", "CUDA", 0, 5, device=1),
        ]
    )
    assert [(span.kind, span.begin_ns, span.end_ns) for span in device] == [("copy", 100, 140), ("nccl", 200, 230)]
    assert (device[0].bytes, device[0].pinned, device[0].correlation) == (64, False, 4)
    assert [(call.name, call.kind) for call in calls] == [
        ("cudaMemcpyAsync", "call"),
        ("cudaStreamSynchronize", "sync"),
    ]


def test_versions_of_a_call_are_one_call() -> None:
    events = [Event("cudaStreamSynchronize_ptsz_v7000", "CPU", 5, 2), Event("kernel_v2x", "CUDA", 9, 2)]
    device, calls = spans_of(events)
    assert [(call.name, call.kind) for call in calls] == [("cudaStreamSynchronize", "sync")]
    assert device[0].name == "kernel_v2x"


def test_a_wait_of_the_profilers_own_does_not_confuse_the_clocks() -> None:
    gpu = Gpu()
    loop = Loop(gpu)
    plain = gpu.stop

    def stop() -> Any:
        time.sleep(0.002)
        gpu.synchronize()
        return plain()

    gpu.stop = stop  # type: ignore[method-assign]
    found = loop.traced()["device"]
    assert found["idle_s"]["data_wait"] > 3 * found["idle_s"].get("forward", 0.0)


def test_a_torch_without_cupti_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one here")
    with pytest.raises(UnavailableError, match="cannot trace cuda"):
        Kineto("cuda").start()


@pytest.fixture
def _traceable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch that says it can trace CUDA; its profiler is that of the CPU."""
    autograd: Any = torch.autograd
    activities = {*autograd._supported_activities(), autograd.ProfilerActivity.CUDA}
    monkeypatch.setattr(autograd, "_supported_activities", lambda: activities)
    plain = autograd.profiler.profile
    monkeypatch.setattr(autograd.profiler, "profile", lambda **_given: plain(use_kineto=True))
    monkeypatch.setattr(kineto, "_was_unloaded", False)
    monkeypatch.delenv("TEARDOWN_CUPTI", raising=False)


@pytest.mark.usefixtures("_traceable")
@pytest.mark.parametrize(
    ("version", "graphs", "teardown"),
    [("12.4", False, "1"), ("12.4", True, "0"), ("13.0", True, "1"), (None, False, "1")],
)
def test_cupti_is_unloaded_after_the_trace_unless_graphs_forbid_it(
    version: str | None, graphs: bool, teardown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", version)
    monkeypatch.setattr(kineto, "_uses_graphs", lambda: graphs)
    profiler = Kineto("cuda")
    profiler.start()
    assert os.environ["TEARDOWN_CUPTI"] == teardown
    with pytest.raises(UnavailableError, match="no event of the device"):
        profiler.stop()
    assert "TEARDOWN_CUPTI" not in os.environ


@pytest.mark.usefixtures("_traceable")
def test_graphs_captured_after_a_trace_forbid_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "12.4")
    monkeypatch.setattr(kineto, "_uses_graphs", lambda: False)
    first = Kineto("cuda")
    first.start()
    with pytest.raises(UnavailableError):
        first.stop()
    monkeypatch.setattr(kineto, "_uses_graphs", lambda: True)
    with pytest.raises(UnavailableError, match="second trace"):
        Kineto("cuda").start()


def test_the_scripts_own_profiler_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    activities = {*torch.autograd._supported_activities(), torch.autograd.ProfilerActivity.CUDA}  # type: ignore[attr-defined]
    monkeypatch.setattr(torch.autograd, "_supported_activities", lambda: activities)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as own:
        with pytest.raises(UnavailableError, match="own profiler is running"):
            Kineto("cuda").start()
        torch.ones(3).sum()
    assert any(event.key == "aten::sum" for event in own.key_averages())


def test_the_calls_of_torchs_profiler_that_are_used_exist() -> None:
    """On a CPU: the same calls, with the CPU's activities in place of the device's."""
    autograd: Any = torch.autograd
    planned = autograd.profiler.profile(use_kineto=True)
    autograd._prepare_profiler(planned.config(), planned.kineto_activities)
    autograd._enable_profiler(planned.config(), planned.kineto_activities)
    began_ns = time.time_ns()
    torch.ones(64, 64) @ torch.ones(64, 64)
    events = autograd._disable_profiler().events()
    with pytest.raises(UnavailableError, match="no event of the device"):
        spans_of(events)
    (product,) = [event for event in events if event.name() == "aten::mm"]
    assert abs(product.start_ns() - began_ns) < 50_000_000
    assert {"duration_ns", "correlation_id", "nbytes", "device_index", "device_resource_id"} <= {*dir(product)}


@pytest.mark.gpu
def test_a_real_device_is_busy_with_large_products() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    from advisor.agent.loop.device import open_device

    torch.cuda.init()
    clock = StepClock()
    clock.device = open_device(torch)
    matrix = torch.randn(4096, 4096, device="cuda")
    trace = DeviceTrace(clock)
    trace.start()
    for _ in range(5):
        clock.push(FORWARD)
        for _ in range(10):
            matrix @ matrix
        clock.pop()
        clock.end_update()
    found = trace.stop()["device"]
    assert found["busy_s"] > 0.9 * found["traced_update_s"]
    assert abs(found["kernels_per_update"] - 10) < 0.5  # one that runs while the trace begins may be missed
