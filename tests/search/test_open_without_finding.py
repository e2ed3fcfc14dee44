"""What is open on an accelerator whatever the findings say, and what a loader that waits opens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from advisor import wire
from advisor.analysis.fixes import as_diagnosed
from advisor.rules._examples import evolve, healthy_cpu, healthy_cuda, optimizer, train_loader, what_if
from advisor.search import KnobSelection, SearchRequest, Space, open_space
from advisor.types import Abstention, Diagnosis, Evidence, KnobSpace

from .machine import INPUT_BOUND, Machine, finding

GIB = 2**30
CONVOLUTIONAL = {"Conv2d": 50, "Linear": 1}


def on_device(**changes: Any) -> Evidence:
    """In fp32 as many scripts are, on an H100."""
    flags = {"autocast_dtype": None, "matmul_precision": "highest"}
    optimizers = (optimizer(fused=False, foreach=True),)
    workload = {"flags": flags, "optimizers": optimizers, "facts": {"triton": True}, **changes}
    return evolve(healthy_cuda(), {"workload": workload})


def opened(
    evidence: Evidence, *found: Any, computing: float | None = 0.5, selection: KnobSelection | None = None
) -> Space:
    diagnosis = Diagnosis(findings=found)
    return open_space(evidence.hardware, evidence.workload, diagnosis, selection, computing_fraction=computing)


def names(space: Space) -> list[str]:
    return [knob.id for knob in space.knobs]


def convolutional() -> Evidence:
    evidence = on_device()
    model = replace(evidence.workload.models[0], layers=CONVOLUTIONAL, channels_last=False)
    return evolve(evidence, {"workload": {"models": (model,)}})


def test_what_computes_faster_is_open_on_an_accelerator_that_waits_for_its_data() -> None:
    space = opened(convolutional(), INPUT_BOUND)
    assert {"precision", "fused_optimizer", "memory_format", "compile"} <= set(names(space))
    assert names(space)[0] == "num_workers"  # what limits the script comes first
    assert names(space)[-1] == "compile"
    (precision,) = [knob for knob in space.knobs if knob.id == "precision"]
    assert precision.opened_by == "forward and backward take 50% of an update on cuda"


def test_channels_last_is_for_convolutions_only() -> None:
    assert "memory_format" not in names(opened(on_device(), INPUT_BOUND))


@pytest.mark.parametrize("computing", [None, 0.1])
def test_a_device_that_hardly_computes_gets_none_of_it(computing: float | None) -> None:
    assert "precision" not in names(opened(on_device(), INPUT_BOUND, computing=computing))


def test_on_a_cpu_the_findings_decide() -> None:
    assert "precision" not in names(opened(healthy_cpu(), INPUT_BOUND, computing=0.9))


def test_what_the_user_asks_for_overrules_it() -> None:
    assert names(opened(on_device(), INPUT_BOUND, selection=KnobSelection.of(["num_workers"]))) == ["num_workers"]
    assert "compile" not in names(opened(on_device(), INPUT_BOUND, selection=KnobSelection.of(None, ["compile"])))


def test_what_is_usual_on_an_accelerator_is_tried_together_first(tmp_path: Path) -> None:
    """Each alone may show nothing: this loop waits for its data until it computes faster, and the other way round."""

    def speed(config: dict[str, Any]) -> float:
        return 3.0 if config.get("num_workers") and config.get("precision") else 1.0

    request = SearchRequest(
        selection=KnobSelection(without=("compile", "prefetch_factor", "threads", "global_batch", "micro_batch"))
    )
    machine = Machine(tmp_path, speed, INPUT_BOUND, evidence=on_device(), request=request, computing_fraction=0.6)
    assert {"num_workers", "precision", "fused_optimizer"} <= set(machine.tried[1])
    best = machine.recommended().config.as_dict()
    assert {"num_workers", "precision"} <= set(best)


def test_on_a_cpu_nothing_is_tried_before_each_alone(tmp_path: Path) -> None:
    machine = Machine(tmp_path, lambda _config: 1.0, INPUT_BOUND, finding("precision_unused", "precision"))
    assert [len(config) for config in machine.tried[1:3]] == [1, 1]


def test_what_was_never_tried_leaves_it_undecided(tmp_path: Path) -> None:
    request = SearchRequest(
        selection=KnobSelection(without=("num_workers", "prefetch_factor", "pin_memory", "cudnn_benchmark", "threads"))
    )
    options: dict[str, Any] = {"evidence": on_device(), "request": request, "computing_fraction": 0.6}
    short = Machine(tmp_path, lambda _config: 1.0, budget_s=30.0, **options)
    assert (short.study.known.untried(), short.recommended().verdict.status) == (["compile"], "undecided")


def test_what_takes_minutes_to_set_is_tried_beside_the_best(tmp_path: Path) -> None:
    """Not alone first, where its minutes would be those of all the others."""

    def speed(config: dict[str, Any]) -> float:
        return (2.0 if config.get("precision") else 1.0) * (1.3 if config.get("compile") else 1.0)

    request = SearchRequest(
        selection=KnobSelection(without=("num_workers", "prefetch_factor", "pin_memory", "cudnn_benchmark", "threads"))
    )
    machine = Machine(tmp_path, speed, evidence=on_device(), request=request, budget_s=600.0, computing_fraction=0.6)
    tried = [config for config in machine.tried if config.get("compile")]
    assert tried[0].get("precision") == "bf16"
    best = machine.recommended().config.as_dict()
    assert (best["compile"], best["precision"]) == ("default", "bf16")


class Compiles(Machine):
    """Compiles for as long as a large model takes, once for each mode and what stands beside it."""

    def __init__(self, *args: Any, **options: Any):
        self.compiled: set[str] = set()
        super().__init__(*args, **options)

    def _outcome(self, window: wire.Window) -> Any:
        found = super()._outcome(window)
        if "compile" not in window.config:
            return found
        if str(window.config) not in self.compiled:
            self.compiled.add(str(window.config))
            self.now_s += 40.0
        return replace(found, set_up_s=40.0)


def test_the_seconds_of_a_compilation_are_not_expected_of_the_windows_after_it(tmp_path: Path) -> None:
    request = SearchRequest(selection=KnobSelection.of(["compile"]))
    machine = Compiles(tmp_path, lambda _config: 1.0, evidence=on_device(), request=request, budget_s=130.0)
    assert len(machine.tried) >= 3, machine.study.ended  # the baseline and two modes


def on_cpus(cpus: float) -> Evidence:
    loaders = (train_loader(num_workers=0),)
    return evolve(healthy_cpu(), {"workload": {"loaders": loaders}, "hardware": {"cpu": {"usable_cpus": cpus}}})


def test_it_is_not_begun_where_the_time_is_too_short_and_that_is_told(tmp_path: Path) -> None:
    request = SearchRequest(
        selection=KnobSelection(without=("num_workers", "prefetch_factor", "pin_memory", "cudnn_benchmark", "threads"))
    )
    options: dict[str, Any] = {"evidence": on_device(), "request": request, "computing_fraction": 0.6}
    machine = Machine(tmp_path, lambda _config: 1.0, budget_s=30.0, **options)
    assert not [config for config in machine.tried if config.get("compile")]
    (told,) = [skipped.why for skipped in machine.study.known.closed if skipped.what == "compile"]
    assert told == "its set-up takes 20 s or more, and less time was left"


@pytest.mark.parametrize("cpus", [2.0, 4.0, 64.0])
def test_a_loader_that_waits_is_tried_with_as_many_workers_as_feed_the_loop_on_any_machine(cpus: float) -> None:
    """An update of 100 ms waits 80 ms; fetching for it takes 600 ms, nearly all of them waiting."""
    waiting = {
        "steps": {"mean_s": 0.1},
        "loader": {"fetch_s": 0.6, "fetch_cpu_s": 0.004, "collate_s": 0.0},
        "what_ifs": what_if("no_data_wait", 5.0),
    }
    workers = workers_where_it_waits(evolve(on_cpus(cpus), waiting))
    assert workers.values == (38, 48, 19, 9, 2)  # 0.6 / 0.02, and a quarter more; doubled, at most 48
    assert workers.shares_cpus_with is None


def test_where_the_times_are_not_known_sixteen_are_tried_first() -> None:
    unknown = {"loader": {"fetch_cpu_s": None}}
    assert workers_where_it_waits(evolve(on_cpus(2.0), unknown)).values == (16, 32, 8, 4, 2)


def test_no_more_workers_than_the_memory_holds_with_their_batches() -> None:
    memory = {"available_bytes": 4 * GIB, "limit_bytes": 4 * GIB, "shared_memory_free_bytes": None}
    batches = {"batch_shapes": ("float32[64, 1024, 512]",), "loaders": (train_loader(num_workers=0),)}
    small = evolve(on_cpus(2.0), {"hardware": {"memory": memory}, "workload": batches, "loader": {"fetch_cpu_s": None}})
    # A quarter of 4 GiB, and 64 MiB with two batches of 128 MiB in each.
    assert max(workers_where_it_waits(small).values) == 3


def workers_where_it_waits(evidence: Evidence) -> KnobSpace:
    waits = finding("input_io_bound", "num_workers", "prefetch_factor")
    facts = as_diagnosed(evidence.workload, [waits], evidence).facts
    diagnosed = evolve(evidence, {"workload": {"facts": facts}})
    (workers,) = [knob for knob in opened(diagnosed, waits).knobs if knob.id == "num_workers"]
    return workers


def test_one_that_computes_is_not() -> None:
    evidence = on_cpus(2.0)
    assert as_diagnosed(evidence.workload, [INPUT_BOUND], evidence) == evidence.workload
    (workers,) = [knob for knob in opened(evidence, INPUT_BOUND).knobs if knob.id == "num_workers"]
    assert max(workers.values) == 2


def test_of_rules_that_could_not_judge_the_knob_that_most_of_them_name_comes_first() -> None:
    evidence = on_cpus(4.0)
    evaluating = replace(evidence.workload.loaders[0], role="evaluation", batch_size=8)
    workload = replace(evidence.workload, loaders=(*evidence.workload.loaders, evaluating))
    unsure = [
        Abstention(rule=rule, why="too few updates") for rule in ("evaluation_heavy", "input_bound", "slow_collate")
    ]
    space = open_space(evidence.hardware, workload, Diagnosis(findings=(), abstained=tuple(unsure)))
    assert names(space)[0] == "num_workers"
