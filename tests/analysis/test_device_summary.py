"""The device's figures on their way from the agent to the profile, and the plan that asks for them."""

from __future__ import annotations

import pytest

from advisor import wire
from advisor.analysis import device_summary, profile_plan
from advisor.analysis.profile_plan import DEVICE_TRACE
from advisor.rules._examples import healthy_cpu, healthy_cuda
from advisor.runtime.session import Planner
from advisor.runtime.session_result import Outcome
from advisor.types import Workload

from .windows import done, result

AGENTS = {
    "updates": 4,
    "traced_update_s": 0.012,
    "busy_s": 0.004,
    "kernels_per_update": 800.0,
    "kernel_median_s": 4e-6,
    "tensor_core_s": 0.001,
    "nccl_s": 0.0,
    "copy_s": 0.0001,
    "idle_s": {"forward": 0.003, "backward": 0.004, "data_wait": 0.001},
    "gaps": [
        {
            "phase": "forward",
            "file": "train.py",
            "line": 9,
            "function": "main",
            "seconds_per_update": 0.003,
            "gaps_per_update": 300.0,
            "longest_s": 0.0001,
        }
    ],
    "syncs": [],
    "idle_after_reads_s": 0.0,
    "cost_s": 1.5,
}
CUDA = healthy_cuda()


def traced(extra: dict[str, object], workload: Workload = CUDA.workload) -> tuple[object, str]:
    window = wire.Window(id=DEVICE_TRACE, kind="device_trace")
    seen = result((window, done(DEVICE_TRACE, [0.012] * 5, extra=extra), 0))
    return device_summary.device_use(seen, healthy_cuda(steps={"mean_s": 0.010}).steps, workload)


def test_idle_time_is_the_baselines_split_as_the_trace_saw_it() -> None:
    window = wire.Window(id=DEVICE_TRACE, kind="device_trace")
    seen = result((window, done(DEVICE_TRACE, [0.012] * 5, extra={"device": AGENTS}), 0))
    use, why = device_summary.device_use(seen, healthy_cuda(steps={"mean_s": 0.010}).steps, CUDA.workload)
    assert why == ""
    assert use is not None
    assert use.busy_fraction == pytest.approx(0.4)
    assert use.idle_fraction("forward") == pytest.approx(0.6 * 3 / 8)
    assert use.idle_fraction("forward", "backward", "data_wait") == pytest.approx(0.6)
    assert use.gaps[0].line == 9


def test_a_reason_for_no_figures_comes_through() -> None:
    assert traced({"why_no_device": "another profiler holds it"}) == (None, "another profiler holds it")


def test_unreadable_figures_are_a_reason_too() -> None:
    use, why = traced({"device": {**AGENTS, "busy_s": "much"}})
    assert use is None
    assert why.startswith("the device's trace is unreadable")


def test_a_refused_window_and_a_missing_one_have_their_reasons() -> None:
    window = wire.Window(id=DEVICE_TRACE, kind="device_trace")
    refused = result((window, wire.WindowRefused(0, DEVICE_TRACE, "refused", "no such thing"), 0))
    assert device_summary.device_use(refused, CUDA.steps, CUDA.workload) == (None, "no such thing")
    assert device_summary.device_use(result(), CUDA.steps, CUDA.workload)[1] == "there was no time to trace the device"


def test_a_cpu_has_neither_figures_nor_a_reason() -> None:
    assert traced({"device": AGENTS}, healthy_cpu().workload) == (None, "")


# --- the plan ---------------------------------------------------------------------------------------------------------


def plans_on(workload: Workload, calls: tuple[str, ...]) -> tuple[list[wire.Window], list[wire.Window]]:
    """The windows after the first, and those after the traces, of a script whose trace shows these calls."""
    planner = profile_plan.profile_plan(lambda: workload, lambda: 20.0)
    (first,) = next(planner)
    outcomes = {first.id: done(first.id, [0.02] * 20)}
    second = planner.send(dict(outcomes))
    outcomes |= {window.id: done(window.id, [0.02] * 5) for window in second}
    outcomes["trace"] = done("trace", [0.05] * 3, extra={"trace": {"calls": [{"what": what} for what in calls]}})
    third = planner.send(dict(outcomes))
    outcomes |= {window.id: done(window.id, [0.02] * 5) for window in third}
    rest = [*third, *rest_of(planner, outcomes)]
    return second, rest


def rest_of(planner: Planner, outcomes: dict[str, Outcome]) -> list[wire.Window]:
    """Return the windows that are still asked for, without further rounds of the same."""
    windows: list[wire.Window] = []
    batch = planner.send(dict(outcomes))
    while isinstance(batch, list) and not batch[0].id.startswith("base round"):
        windows += batch
        outcomes |= {window.id: done(window.id, [0.02] * 5) for window in batch}
        try:
            batch = planner.send(dict(outcomes))
        except StopIteration:
            break
    return windows


def test_the_device_is_traced_between_windows_of_the_baseline() -> None:
    traces, _rest = plans_on(CUDA.workload, ())
    kinds = [window.kind for window in traces]
    assert kinds == ["measure", "trace", "device_trace", "measure"]
    (window,) = [window for window in traces if window.kind == "device_trace"]
    assert window.role is wire.WindowRole.OBSERVATION
    assert window.min_updates == window.max_updates == 16  # 0.3 s, and one that fills the device


@pytest.mark.parametrize(("update_s", "updates"), [(0.0005, 31), (0.1, 4), (5.0, 3)])
def test_the_device_trace_is_short(update_s: float, updates: int) -> None:
    assert profile_plan.device_window(update_s).max_updates == updates


def test_a_script_on_a_cpu_is_not_traced_on_a_device() -> None:
    planner = profile_plan.profile_plan(lambda: healthy_cpu().workload, lambda: 20.0)
    (first,) = next(planner)
    outcomes = {first.id: done(first.id, [0.02] * 20)}
    windows = rest_of(planner, outcomes)
    assert "device_trace" not in {window.kind for window in windows}
    assert "no_sync" not in {window.what_if for window in windows}
    assert "micro_batch_doubled" in {window.what_if for window in windows}


def test_waits_are_taken_away_where_the_trace_shows_reads() -> None:
    _traces, rest = plans_on(CUDA.workload, ("item", "to"))
    asked = [window.what_if for window in rest]
    assert asked.count("no_sync") == 2
    assert asked.index("no_sync") > asked.index("no_optimizer")


def test_waits_are_not_taken_away_where_there_are_none() -> None:
    _traces, rest = plans_on(CUDA.workload, ("to", "deepcopy"))
    assert "no_sync" not in {window.what_if for window in rest}
