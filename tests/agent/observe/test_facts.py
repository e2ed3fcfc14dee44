"""What is told of a script: its models, optimizers, switches and batches."""

from __future__ import annotations

import cProfile
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from advisor.agent.loop.clock import StepClock
from advisor.agent.observe.facts import INSPECTED_FIRST, FactsCollector, model_facts
from advisor.agent.observe.kineto import Kineto, UnavailableError
from advisor.agent.observe.switches import profilers_on, switches


@pytest.fixture
def collector() -> Iterator[FactsCollector]:
    found = FactsCollector(StepClock())
    found.install()
    yield found
    found.remove()


def workload(collector: FactsCollector, *optimizers: torch.optim.Optimizer, updates: int = 4) -> dict[str, Any]:
    entries = [(optimizer, SimpleNamespace(steps=8), index == 0) for index, optimizer in enumerate(optimizers)]
    return collector.workload([], entries, [], updates)


def optimizer_facts(collector: FactsCollector, optimizer: torch.optim.Optimizer, updates: int = 4) -> dict[str, Any]:
    facts: dict[str, Any] = workload(collector, optimizer, updates=updates)["optimizers"][0]
    return facts


def weights() -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(3, 5)), nn.Parameter(torch.ones(7))]


# --- models -----------------------------------------------------------------------------------------------------------


def convolutional() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))


def test_layers_are_counted_by_class_and_containers_are_not() -> None:
    assert model_facts(convolutional())["layers"] == {
        "Conv2d": 1,
        "BatchNorm2d": 1,
        "ReLU": 1,
        "Flatten": 1,
        "Linear": 1,
    }


def test_frozen_parameters_are_not_trainable() -> None:
    model = nn.Linear(4, 4)
    model.bias.requires_grad_(False)
    facts = model_facts(model)
    assert (facts["parameters"], facts["trainable_parameters"]) == (20, 16)


def test_parameters_are_counted_by_dtype() -> None:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False).bfloat16())
    assert model_facts(model)["parameter_dtypes"] == {"float32": 4, "bfloat16": 4}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (convolutional(), False),
        (convolutional().to(memory_format=torch.channels_last), True),
        (nn.Linear(3, 3), None),
        (nn.Conv2d(3, 8, 1), None),
    ],
    ids=["contiguous", "channels_last", "no images", "1x1 tells nothing"],
)
def test_the_memory_format_is_read_from_the_weights(model: nn.Module, expected: bool | None) -> None:
    assert model_facts(model)["channels_last"] is expected


def test_a_compiled_model_is_seen_and_keeps_its_own_name() -> None:
    facts = model_facts(torch.compile(nn.Linear(2, 2), backend="eager"))
    assert (facts["compiled"], facts["class_name"]) == (True, "Linear")


def test_a_model_compiled_in_place_is_seen() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    assert not model_facts(model)["compiled"]
    model[0].compile(backend="eager")
    assert model_facts(model)["compiled"]


def test_our_own_wrapper_of_a_root_is_no_compilation() -> None:
    from advisor.agent.loop.roots import Roots

    plain, compiled = nn.Linear(2, 2), nn.Linear(2, 2)
    compiled.compile(backend="eager")
    roots = Roots(StepClock())
    roots._wrap_all([plain, compiled], level=0)
    assert (model_facts(plain)["compiled"], model_facts(compiled)["compiled"]) == (False, True)


def test_data_parallel_is_seen() -> None:
    facts = model_facts(nn.DataParallel(nn.Linear(2, 2)))
    assert (facts["data_parallel"], facts["distributed"]) == (True, False)


# --- optimizers -------------------------------------------------------------------------------------------------------


def test_size_and_steps_of_an_optimizer(collector: FactsCollector) -> None:
    facts = optimizer_facts(collector, torch.optim.SGD(weights(), lr=0.1, momentum=0.9))
    assert {name: facts[name] for name in ("class_name", "parameters", "tensors", "groups", "momentum")} == {
        "class_name": "SGD",
        "parameters": 22,
        "tensors": 2,
        "groups": 1,
        "momentum": 0.9,
    }
    assert (facts["main"], facts["steps_per_update"], facts["learning_rate"]) == (True, 2.0, 0.1)


def test_by_default_a_cpu_has_neither_fused_nor_foreach(collector: FactsCollector) -> None:
    facts = optimizer_facts(collector, torch.optim.AdamW(weights()))
    assert (facts["fused"], facts["foreach"]) == (False, False)


@pytest.mark.parametrize(
    ("options", "expected"),
    [({"fused": True}, (True, False)), ({"foreach": True}, (False, True)), ({"foreach": False}, (False, False))],
)
def test_what_the_script_asks_for_holds(
    collector: FactsCollector, options: dict[str, bool], expected: tuple[bool, bool]
) -> None:
    facts = optimizer_facts(collector, torch.optim.AdamW(weights(), **options))  # type: ignore[arg-type]
    assert (facts["fused"], facts["foreach"]) == expected


def test_an_optimizer_without_the_option_has_none(collector: FactsCollector) -> None:
    assert optimizer_facts(collector, torch.optim.LBFGS(weights()))["fused"] is None


def test_a_scheduler_is_a_schedule(collector: FactsCollector) -> None:
    optimizer = torch.optim.SGD(weights(), lr=0.1)
    torch.optim.lr_scheduler.StepLR(optimizer, 5)
    assert optimizer_facts(collector, optimizer)["has_schedule"] is True


def test_a_scheduler_that_waits_for_a_plateau_is_one_too(collector: FactsCollector) -> None:
    optimizer = torch.optim.SGD(weights(), lr=0.1)
    torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer=optimizer)
    assert optimizer_facts(collector, optimizer)["has_schedule"] is True


def test_a_rate_written_by_hand_is_a_schedule(collector: FactsCollector) -> None:
    optimizer = torch.optim.SGD(weights(), lr=0.1)
    assert optimizer_facts(collector, optimizer)["has_schedule"] is False
    optimizer.param_groups[0]["lr"] = 0.05
    assert optimizer_facts(collector, optimizer)["has_schedule"] is True


def test_one_update_does_not_tell_that_there_is_no_schedule(collector: FactsCollector) -> None:
    assert optimizer_facts(collector, torch.optim.SGD(weights(), lr=0.1), updates=1)["has_schedule"] is None


# --- batches and precision --------------------------------------------------------------------------------------------


def test_shapes_of_nested_batches_are_told(collector: FactsCollector) -> None:
    batch = {"ids": torch.zeros(4, 7, dtype=torch.int64), "more": [torch.zeros(4)]}
    collector.saw_forward((batch,), {"mask": torch.ones(4, 7)})
    assert workload(collector)["batch_shapes"] == ["int64[4, 7]", "float32[4]", "float32[4, 7]"]


@pytest.mark.parametrize(("sizes", "fixed"), [((8, 8, 8), True), ((8, 8, 3), False)])
def test_shapes_that_change_are_noticed(collector: FactsCollector, sizes: tuple[int, ...], fixed: bool) -> None:
    for size in sizes:
        collector.saw_forward((torch.zeros(size, 2),), {})
    assert workload(collector)["fixed_shapes"] is fixed


def test_without_a_forward_nothing_is_said_of_shapes(collector: FactsCollector) -> None:
    assert workload(collector)["fixed_shapes"] is None


def test_autocast_around_a_forward_is_seen(collector: FactsCollector) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        collector.saw_forward((torch.zeros(2),), {})
    assert workload(collector)["flags"]["autocast_dtype"] == "bfloat16"


def test_what_a_tried_setting_changes_is_not_the_scripts_own(collector: FactsCollector) -> None:
    for _ in range(INSPECTED_FIRST):
        collector.saw_forward((torch.ones(4, 3),), {})
    with torch.autocast("cpu", torch.bfloat16):
        for _ in range(INSPECTED_FIRST):
            collector.saw_forward((torch.ones(8, 3),), {}, changed=True)
    found = workload(collector)
    assert (found["flags"]["autocast_dtype"], found["fixed_shapes"]) == (None, True)


def test_without_autocast_there_is_none(collector: FactsCollector) -> None:
    collector.saw_forward((torch.zeros(2),), {})
    assert workload(collector)["flags"]["autocast_dtype"] is None


@pytest.mark.parametrize("enabled", [True, False])
def test_a_scaler_counts_where_it_is_enabled_and_used(collector: FactsCollector, enabled: bool) -> None:
    scaler = torch.amp.GradScaler("cpu", enabled=enabled)
    assert workload(collector)["flags"]["grad_scaler"] is False
    scaler.scale(torch.ones(()))
    assert workload(collector)["flags"]["grad_scaler"] is enabled


def test_a_batch_that_raises_when_it_is_looked_at_harms_nothing(collector: FactsCollector) -> None:
    class Batch:
        @property
        def dtype(self) -> Any:
            raise RuntimeError("not now")

    collector.saw_forward((Batch(),), {})
    assert workload(collector)["batch_shapes"] == []


# --- switches ---------------------------------------------------------------------------------------------------------


def test_anomaly_detection_around_the_loop_is_seen(collector: FactsCollector) -> None:
    with pytest.warns(UserWarning, match="Anomaly Detection"), torch.autograd.detect_anomaly():
        collector.saw_forward((torch.zeros(2),), {})
    assert workload(collector)["flags"]["anomaly_detection"] is True


def test_anomaly_detection_around_the_backward_alone_is_seen(collector: FactsCollector) -> None:
    with pytest.warns(UserWarning, match="Anomaly Detection"), torch.autograd.detect_anomaly():
        collector.saw_backward()
    assert workload(collector)["flags"]["anomaly_detection"] is True


def test_threads_and_environment_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("CUDA_LAUNCH_BLOCKING", "1")
    found = switches()
    assert (found["num_threads"], found["omp_num_threads"], found["launch_blocking"]) == (
        torch.get_num_threads(),
        "3",
        True,
    )


def test_a_launch_blocking_variable_of_zero_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_LAUNCH_BLOCKING", "0")
    assert switches()["launch_blocking"] is False


def test_determinism_is_read() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        assert switches()["deterministic"] is True
    finally:
        torch.use_deterministic_algorithms(False)


def test_no_profiler_is_on_by_itself() -> None:
    assert [name for name in profilers_on() if "settrace" not in name] == []


@pytest.mark.filterwarnings("ignore:.*Profiler clears events")
def test_our_own_recorder_of_the_device_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is on for some updates of every profile on an accelerator."""
    recorder = Kineto("cuda")
    autograd = torch.autograd
    on_the_cpu = autograd.profiler.profile
    monkeypatch.setattr(autograd, "_supported_activities", lambda: {autograd.ProfilerActivity.CUDA})
    monkeypatch.setattr(autograd.profiler, "profile", lambda **_: on_the_cpu(use_cpu=True, use_kineto=True))
    recorder.start()
    try:
        assert "torch.profiler" not in profilers_on()
    finally:
        with pytest.raises(UnavailableError, match="no event of the device"):
            recorder.stop()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]):
        assert "torch.profiler" in profilers_on()


@pytest.mark.filterwarnings("ignore:.*Profiler clears events")
def test_torchs_profiler_is_seen() -> None:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]):
        assert "torch.profiler" in profilers_on()


def test_cprofile_is_seen() -> None:
    profiler = cProfile.Profile()
    profiler.enable()
    found = profilers_on()
    profiler.disable()
    assert "cProfile" in found


def test_a_tracer_is_seen() -> None:
    before = sys.gettrace()
    sys.settrace(lambda *_args: None)
    found = profilers_on()
    sys.settrace(before)
    assert any("settrace" in name for name in found)


# --- where it runs ----------------------------------------------------------------------------------------------------


def test_a_loop_of_ones_own_is_plain(collector: FactsCollector) -> None:
    collector.saw_forward((torch.zeros(2),), {})
    assert workload(collector)["framework"] == "plain"


@pytest.mark.parametrize(
    ("file", "framework"),
    [
        ("/env/site-packages/transformers/trainer.py", "transformers"),
        ("/env/site-packages/lightning/pytorch/loops/fit_loop.py", "lightning"),
        ("/env/site-packages/pytorch_lightning/trainer/call.py", "lightning"),
        ("/env/site-packages/transformers/models/bert/modeling_bert.py", "plain"),
    ],
)
def test_the_loop_of_a_library_is_told_by_its_frames(collector: FactsCollector, file: str, framework: str) -> None:
    names: dict[str, Any] = {"saw": collector.saw_forward, "batch": torch.zeros(2)}
    exec(compile("def loop():\n    saw((batch,), {})\nloop()", file, "exec"), names)
    assert workload(collector)["framework"] == framework


def test_versions_of_imported_packages_are_told(collector: FactsCollector) -> None:
    told = workload(collector)["facts"]["packages"]["torch"]
    assert torch.__version__ in (told, f"{told}+{torch.__version__.partition('+')[2]}")  # a build is told or not


def test_all_fields_of_the_value_are_there(collector: FactsCollector) -> None:
    from dataclasses import fields

    from advisor.types import workload as values

    collector.saw_forward((torch.zeros(2),), {})
    model = nn.Linear(2, 2)
    entry = (torch.optim.SGD(model.parameters(), lr=0.1), SimpleNamespace(steps=1), True)
    found = collector.workload([model], [entry], [], 1)
    told_elsewhere = {"arguments", "cpu_limits", "learning", "ranks", "worker_memory"}  # by modules of these names
    assert {field.name for field in fields(values.Workload)} - told_elsewhere == set(found)
    assert {field.name for field in fields(values.ModelFacts)} == set(found["models"][0])
    assert {field.name for field in fields(values.OptimizerFacts)} == set(found["optimizers"][0])
    assert {field.name for field in fields(values.Flags)} == set(found["flags"])


def test_everything_is_restored_exactly() -> None:
    schedulers = torch.optim.lr_scheduler
    owners = (schedulers.LRScheduler, schedulers.ReduceLROnPlateau, torch.amp.GradScaler)
    before = [dict(vars(owner)) for owner in owners]
    collector = FactsCollector(StepClock())
    collector.install()
    collector.remove()
    assert [dict(vars(owner)) for owner in owners] == before
