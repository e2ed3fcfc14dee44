"""One cause has one finding, and what fixing can give most stands first."""

from __future__ import annotations

from typing import Any

import pytest

from advisor.rules import diagnose, get
from advisor.rules._examples import (
    GIB,
    call,
    evolve,
    gpu,
    healthy_cpu,
    healthy_cuda,
    line,
    measured_fix,
    train_loader,
    what_if,
)
from advisor.types import Evidence, Finding

INPUT_RULES = {"input_bound", "input_io_bound", "slow_collate", "worker_restart", "too_many_workers"}


def found_rules(evidence: Evidence) -> list[str]:
    return [finding.rule for finding in diagnose(evidence).findings]


def warned_rules(evidence: Evidence) -> list[str]:
    return [finding.rule for finding in diagnose(evidence).findings if finding.severity != "info"]


def waiting(*, cpus: float = 8.0, workers: int = 2, **changes: Any) -> Evidence:
    base = healthy_cpu(
        phases={"data_wait": 0.5},
        what_ifs=what_if("no_data_wait", 1.9),
        hardware={"cpu": {"usable_cpus": cpus}},
        workload={"loaders": (train_loader(num_workers=workers),), "flags": {"num_threads": int(cpus)}},
        system={"tree_cpus": cpus * 0.99},
    )
    changed: Evidence = evolve(base, changes)
    return changed


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (waiting(loader={"fetch_s": 0.06, "fetch_cpu_s": 0.06}), "input_bound"),
        (waiting(loader={"collate_s": 0.06}), "slow_collate"),
        (waiting(loader={"fetch_s": 0.06, "fetch_cpu_s": 0.004}, system={"tree_cpus": 1.0}), "input_io_bound"),
        (waiting(cpus=2.0, workers=16, loader={"fetch_s": 0.2, "fetch_cpu_s": 0.05}), "too_many_workers"),
        (waiting(loader={"fetch_s": None, "fetch_cpu_s": None, "collate_s": None}), "input_bound"),
    ],
)
def test_a_wait_for_data_has_one_cause(evidence: Evidence, expected: str) -> None:
    assert [rule for rule in found_rules(evidence) if rule in INPUT_RULES] == [expected]


def test_waiting_only_at_the_starts_of_epochs_is_worker_restart() -> None:
    evidence = healthy_cpu(workload={"loaders": (train_loader(persistent_workers=False),)}, restarts={"share": 0.4})
    assert [rule for rule in found_rules(evidence) if rule in INPUT_RULES] == ["worker_restart"]


def test_neighbours_on_the_machine_change_no_verdict() -> None:
    evidence = waiting(loader={"fetch_s": 0.06, "fetch_cpu_s": 0.004}, system={"tree_cpus": 1.0})
    busy = evolve(evidence, {"system": {"loadavg_others": 64.0}})
    assert diagnose(busy) == diagnose(evidence)


def test_the_ceiling_of_waiting_is_the_measured_one() -> None:
    finding = get("input_bound").check(waiting(loader={"fetch_s": 0.06, "fetch_cpu_s": 0.06}))
    assert isinstance(finding, Finding)
    assert finding.ceiling is not None
    assert (finding.ceiling.basis, finding.ceiling.speedup) == ("measured", 1.9)


def test_on_two_cpus_the_low_end_knows_that_loading_needs_a_cpu_too() -> None:
    evidence = waiting(cpus=2.0, workers=0, loader={"fetch_s": 0.05, "fetch_cpu_s": 0.05})
    evidence = evolve(evidence, {"system": {"main_cpus": 1.5, "tree_cpus": 1.5}})
    finding = get("input_bound").check(evidence)
    assert isinstance(finding, Finding)
    assert finding.ceiling is not None
    assert finding.ceiling.low < 1.2
    assert "share 2 CPUs" in finding.evidence


@pytest.mark.parametrize(("wait", "gain", "first"), [(0.4, 1.5, "input_bound"), (0.12, 1.12, "faster_setting")])
def test_a_fault_stands_before_a_choice_that_gives_somewhat_more(wait: float, gain: float, first: str) -> None:
    """bfloat16 can still be chosen when the fault is mended, which changes no result."""
    evidence = healthy_cpu(
        phases={"data_wait": wait, "forward": 0.3, "backward": 0.95 - 0.3 - wait, "optimizer": 0.0},
        loader={"fetch_s": 0.15, "fetch_cpu_s": 0.15},
        what_ifs=what_if("no_data_wait", gain),
        fixes=(measured_fix("precision", "bf16", 1.9),),
    )
    assert {"input_bound", "faster_setting"} <= set(warned_rules(evidence))
    assert found_rules(evidence)[0] == first


def test_a_setting_that_an_undecided_rule_would_name_is_found_once() -> None:
    """Other programs keep the rule from speaking, until its setting was seen to gain."""
    evidence = healthy_cpu(
        workload={"flags": {"num_threads": 1}},
        system={"main_cpus": 1.0, "tree_cpus": 1.1, "loadavg_others": 6.5},
        fixes=(measured_fix("threads", 8, 1.6),),
    )
    assert found_rules(evidence)[:1] == ["threads_underused"]
    assert "faster_setting" not in found_rules(evidence)


def test_the_larger_gain_stands_first() -> None:
    evidence = healthy_cpu(
        phases={"data_wait": 0.2, "other": 0.05},
        what_ifs=what_if("no_data_wait", 1.25),
        loader={"fetch_s": 0.15, "fetch_cpu_s": 0.15},
        off_step={"evaluation": 0.55},
    )
    assert found_rules(evidence)[:2] == ["evaluation_heavy", "input_bound"]


def test_a_hint_stands_behind_every_warning() -> None:
    evidence = healthy_cpu(
        compute={"achieved_flops_per_s": 10e9},
        off_step={"logging": 0.06},
    )
    assert found_rules(evidence) == ["logging_heavy", "compile_candidate"]


def test_what_ends_the_run_stands_before_what_gains_less_than_twice() -> None:
    evidence = healthy_cuda(memory={"peak_bytes": 79 * GIB}, off_step={"evaluation": 0.3})
    assert found_rules(evidence) == ["memory_pressure", "evaluation_heavy"]


def test_a_debugging_switch_is_not_also_called_overhead() -> None:
    evidence = healthy_cpu(
        workload={"flags": {"anomaly_detection": True}},
        steps={"mean_s": 0.006},
        trace={"torch_calls_per_update": 700.0, "kernel_median_s": 4e-6},
        what_ifs=what_if("micro_batch_doubled", 1.9),
        epoch_end={"seconds": {"evaluation": 0.1, "checkpoint": 0.01}},
    )
    assert found_rules(evidence) == ["debug_mode"]


def test_a_deep_copy_is_not_also_called_host_code() -> None:
    evidence = healthy_cpu(
        phases={"other": 0.4},
        lines=(line("python", 0.38, line=57),),
        trace={"calls": (call("deepcopy", line=57, seconds_per_update=0.1),)},
    )
    assert found_rules(evidence) == ["deep_copy_per_step"]


def test_a_cpu_build_is_not_also_called_an_unused_accelerator() -> None:
    assert found_rules(healthy_cpu(hardware={"accelerators": (gpu(),)})) == ["cpu_only_build"]


def test_shares_are_of_the_loop_and_not_of_the_update() -> None:
    evidence = waiting(loader={"fetch_s": 0.06, "fetch_cpu_s": 0.06}, off_step={"evaluation": 0.5})
    finding = get("input_bound").check(evidence)
    assert isinstance(finding, Finding)
    assert finding.share == pytest.approx(0.25, abs=0.01)


def test_float32_on_an_accelerator_names_both_remedies_and_the_larger_first() -> None:
    evidence = healthy_cuda(workload={"flags": {"autocast_dtype": None, "matmul_precision": "highest"}})
    assert warned_rules(evidence) == ["precision_unused", "tf32_off"]


# --- whose work it is -------------------------------------------------------------------------------------------------


def finding(rule: str, evidence: Evidence) -> Finding:
    return next(found for found in diagnose(evidence).findings if found.rule == rule)


@pytest.mark.parametrize("library", ["", "transformers"])
def test_a_deep_copy_is_the_librarys_where_a_library_makes_it(library: str) -> None:
    copies = (call("deepcopy", line=57, seconds_per_update=0.1, library=library),)
    found = finding("deep_copy_per_step", healthy_cpu(phases={"other": 0.4}, lines=(), trace={"calls": copies}))
    assert found.library == library
    assert (" by transformers" in found.evidence, "Make transformers" in found.advice) == (bool(library),) * 2


@pytest.mark.parametrize("library", ["", "accelerate"])
def test_a_call_of_the_collector_is_the_librarys_where_a_library_makes_it(library: str) -> None:
    collects = call("gc.collect", seconds_per_update=0.04, library=library)
    found = finding("gc_pauses", healthy_cpu(system={"gc_fraction": 0.4}, trace={"calls": (collects,)}))
    assert (" by accelerate" in found.evidence, "Make accelerate" in found.advice) == (bool(library),) * 2
    assert ("Remove `gc.collect()`" in found.advice) == (not library)


@pytest.mark.parametrize("library", ["", "lightning"])
def test_what_a_library_does_between_the_phases_is_not_called_the_scripts_own(library: str) -> None:
    slow = line("python", 0.38, line=57, library=library)
    found = finding("host_code", healthy_cpu(phases={"other": 0.4}, lines=(slow,)))
    assert ("the script's own lines" in found.evidence) == (not library)
    assert ("calls of the script into lightning" in found.evidence) == bool(library)


FOLDER = "/env/lib/python3.11/site-packages/torchvision/datasets/folder.py"


@pytest.mark.parametrize(("file", "told"), [(FOLDER, True), ("train.py", False)])
def test_lines_of_a_librarys_dataset_are_told_with_the_line_that_makes_the_loader(file: str, told: bool) -> None:
    work = line("io", 0.9, where="loader", phase="data_wait", file=file, library="torchvision")
    found = finding("input_bound", waiting(loader={"fetch_s": 0.06, "fetch_cpu_s": 0.06}, lines=(work,)))
    words = "The lines below are in torchvision, called by the loader created at train.py:20."
    assert (words in found.evidence) == told
    assert ("on these lines" in found.advice) == (not told)
