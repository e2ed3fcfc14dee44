"""How much a finding matters follows from what can be gained."""

from __future__ import annotations

from typing import Any

import pytest

from advisor.rules import get
from advisor.rules._examples import GIB, conv_model, evolve, gpu, healthy_cpu, healthy_cuda, what_if
from advisor.rules._operator_examples import frozen_part, operators
from advisor.types import Ceiling, Evidence, Finding, Rate

IDLE_GPU = healthy_cpu(hardware={"accelerators": (gpu(),), "torch": {"cuda": "13.0", "accelerator_available": True}})
TINY = healthy_cpu(steps={"mean_s": 0.004}, trace={"torch_calls_per_update": 700.0, "kernel_median_s": 4e-6})
FP32 = healthy_cuda(workload={"flags": {"autocast_dtype": None}})
BF16_CPU = healthy_cpu(hardware={"cpu": {"instruction_sets": ("avx512_bf16",)}})
CONV = healthy_cuda(workload={"models": (conv_model(device="cuda:0"),)})
ONE_THREAD = healthy_cpu(workload={"flags": {"num_threads": 1}}, system={"tree_cpus": 1.1}, trace=None)
DRAWS_NOTHING = {"facts": {"dataset_draws": False, "collate_draws": False}}
CREEP = healthy_cpu(memory={"creep_confirmed": True})


def frozen(share: float) -> Evidence:
    """Return evidence of a part that takes about this share, and whose data may be augmented, as far as is known."""
    return healthy_cpu(
        workload={"facts": {"dataset_draws": None}},
        trace=operators(frozen_parts=(frozen_part(seconds_fraction=share),)),
    )


def finding(rule: str, evidence: Evidence) -> Finding:
    outcome = get(rule).check(evidence)
    assert isinstance(outcome, Finding), outcome
    return outcome


@pytest.mark.parametrize(
    ("rule", "base", "changes", "severity"),
    [
        ("accelerator_unused", IDLE_GPU, {"compute": {"flops_per_update": 2 * 10**9}}, "critical"),
        ("accelerator_unused", IDLE_GPU, {"compute": {"flops_per_update": 10**8}}, "warning"),
        ("accelerator_unused", IDLE_GPU, {"compute": {"flops_per_update": 10**6}}, "info"),
        ("evaluation_heavy", healthy_cpu(), {"off_step": {"evaluation": 0.6}}, "critical"),
        ("evaluation_heavy", healthy_cpu(), {"off_step": {"evaluation": 0.3}}, "warning"),
        ("memory_pressure", healthy_cuda(), {"memory": {"peak_bytes": 79 * GIB}}, "critical"),
        ("memory_pressure", healthy_cuda(), {"memory": {"peak_bytes": 74 * GIB}}, "warning"),
        ("memory_creep", CREEP, {"memory": {"creep_bytes_per_update": 5e7}}, "critical"),
        ("memory_creep", CREEP, {"memory": {"creep_bytes_per_update": 5e5}}, "warning"),
        ("memory_creep", CREEP, {"memory": {"creep_bytes_per_update": 5e5}, "steps": {"mean_s": 0.01}}, "critical"),
        ("swapping", healthy_cpu(), {"system": {"swap_in_bytes_per_s": 6e7}}, "critical"),
        ("swapping", healthy_cpu(), {"system": {"swap_in_bytes_per_s": 2e6}}, "warning"),
        (
            "optimizer_bound",
            healthy_cpu(phases={"optimizer": 0.6}),
            {"what_ifs": what_if("no_optimizer", 2.3)},
            "critical",
        ),
        (
            "optimizer_bound",
            healthy_cpu(phases={"optimizer": 0.3}),
            {"what_ifs": what_if("no_optimizer", 1.4)},
            "warning",
        ),
        (
            "optimizer_bound",
            healthy_cpu(phases={"optimizer": 0.26}),
            {"what_ifs": what_if("no_optimizer", 1.1)},
            "info",
        ),
        ("overhead_bound", TINY, {"what_ifs": what_if("micro_batch_doubled", 1.95)}, "critical"),
        ("overhead_bound", TINY, {"what_ifs": what_if("micro_batch_doubled", 1.7)}, "warning"),
        ("overhead_bound", TINY, {"what_ifs": what_if("micro_batch_doubled", 1.35)}, "info"),
        ("overhead_bound", TINY, {"what_ifs": {"micro_batch_doubled": None}}, "warning"),
        (
            "overhead_bound",
            TINY,
            {"what_ifs": {"micro_batch_doubled": None}, "trace": {"torch_calls_per_update": 400.0}},
            "info",
        ),
        ("precision_unused", FP32, {}, "warning"),
        ("precision_unused", BF16_CPU, {"compute": {"achieved_flops_per_s": 900e9}}, "info"),
        (
            "precision_unused",
            BF16_CPU,
            {
                "compute": {"achieved_flops_per_s": 900e9},
                "hardware": {
                    "cpu_peak_flops": {
                        name: Rate(value=value, basis="measured", source="")
                        for name, value in (("fp32", 1e12), ("bf16", 4e12))
                    }
                },
            },
            "warning",
        ),
        ("precision_unused", BF16_CPU, {"compute": {"achieved_flops_per_s": 350e9}}, "info"),
        ("channels_last_unused", CONV, {}, "warning"),
        ("channels_last_unused", CONV, {"workload": {"flags": {"autocast_dtype": None}}}, "info"),
        (
            "channels_last_unused",
            CONV,
            {"hardware": {"accelerators": (gpu(compute_capability=(6, 1)),)}},
            "info",
        ),
        ("frozen_part_recomputed", frozen(0.9), {"workload": DRAWS_NOTHING}, "critical"),
        ("frozen_part_recomputed", frozen(0.9), {}, "warning"),  # the data may be augmented
        ("frozen_part_recomputed", frozen(0.2), {"workload": DRAWS_NOTHING}, "warning"),
        ("frozen_part_recomputed", frozen(0.2), {}, "info"),
        (
            "frozen_part_recomputed",
            frozen(0.9),
            {"workload": DRAWS_NOTHING, "what_ifs": what_if("frozen_features", 1.1, 0.9, 1.4)},
            "info",
        ),
        ("threads_underused", ONE_THREAD, {}, "critical"),
        ("threads_underused", ONE_THREAD, {"compute": {"achieved_flops_per_s": 1e9}}, "info"),
        (
            "input_bound",
            healthy_cuda(phases={"data_wait": 0.5}),
            {"what_ifs": what_if("no_data_wait", 1.9)},
            "critical",
        ),
        (
            "input_bound",
            healthy_cuda(phases={"data_wait": 0.12}),
            {"what_ifs": what_if("no_data_wait", 1.14)},
            "warning",
        ),
        (
            "input_bound",
            healthy_cuda(phases={"data_wait": 0.06}),
            {"what_ifs": what_if("no_data_wait", 1.06, 1.02)},
            "info",
        ),
        ("checkpoint_heavy", healthy_cpu(), {"off_step": {"checkpoint": 0.06}}, "warning"),
        ("checkpoint_heavy", healthy_cpu(), {"off_step": {"checkpoint": 0.4}}, "critical"),
    ],
)
def test_severity_follows_the_gain(rule: str, base: Evidence, changes: dict[str, object], severity: str) -> None:
    assert finding(rule, evolve(base, changes)).severity == severity


def ceiling(rule: str, evidence: Evidence) -> Ceiling:
    found = finding(rule, evidence).ceiling
    assert found is not None
    return found


def test_the_low_end_of_the_optimizer_knows_that_the_step_must_stay() -> None:
    evidence = healthy_cpu(phases={"optimizer": 0.6}, what_ifs=what_if("no_optimizer", 2.3))
    assert 1.05 < ceiling("optimizer_bound", evidence).low < 1.3


def test_the_high_end_of_overhead_reaches_past_twice_the_batch() -> None:
    evidence = evolve(TINY, {"what_ifs": what_if("micro_batch_doubled", 1.8)})
    found = ceiling("overhead_bound", evidence)
    assert (found.speedup, found.basis) == (pytest.approx(1.8, rel=0.01), "measured")
    assert found.high == pytest.approx(9.0, rel=0.05)


def test_anomaly_detection_is_charged_for_each_operator() -> None:
    evidence = healthy_cpu(
        workload={"flags": {"anomaly_detection": True}},
        steps={"mean_s": 0.006},
        trace={"torch_calls_per_update": 350.0},
    )
    assert finding("debug_mode", evidence).share == pytest.approx(0.41, abs=0.01)


def test_a_guess_of_half_precision_may_be_no_gain() -> None:
    assert ceiling("precision_unused", FP32).low == 1.0


@pytest.mark.parametrize(("fp32", "bf16", "most"), [(100e9, 150e9, 1.5), (100e9, 200e9, 2.0), (100e9, 900e9, 4.0)])
def test_half_precision_promises_no_more_than_the_peaks_of_the_hardware(fp32: float, bf16: float, most: float) -> None:
    peaks = {name: Rate(value=value, basis="measured", source="") for name, value in (("fp32", fp32), ("bf16", bf16))}
    busy = evolve(BF16_CPU, {"compute": {"achieved_flops_per_s": 9e12}, "hardware": {"cpu_peak_flops": peaks}})
    found = finding("precision_unused", busy)
    assert found.ceiling is not None
    assert found.ceiling.speedup <= found.ceiling.high <= most
    assert f"{bf16 / fp32:.1f} times as high" in found.evidence


def test_a_rate_of_half_precision_that_was_not_measured_is_not_claimed() -> None:
    busy = evolve(BF16_CPU, {"compute": {"achieved_flops_per_s": 900e9}})
    assert "their speed here was not measured" in finding("precision_unused", busy).evidence


@pytest.mark.parametrize("doubled", [{}, what_if("micro_batch_doubled", 1.9)], ids=["estimated", "measured"])
def test_steps_that_are_too_small_gain_no_more_than_the_evaluation_beside_them_leaves(doubled: dict[str, Any]) -> None:
    """Of a loop that evaluates half of its time, updates that cost nothing leave that half."""
    tiny = {
        "steps": {"mean_s": 0.004},
        "trace": {"torch_calls_per_update": 900.0, "kernel_median_s": 4e-6},
        "off_step": {"evaluation": 0.5},
        "what_ifs": {"micro_batch_doubled": None, **doubled},
    }
    finding = get("overhead_bound").check(healthy_cpu(**tiny))
    assert isinstance(finding, Finding)
    assert finding.ceiling is not None
    assert finding.share <= 0.5
    assert 1.0 < finding.ceiling.speedup <= 2.0
    assert finding.ceiling.basis == "share" or finding.ceiling.high <= 2.0
