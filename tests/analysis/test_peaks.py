"""The peak in the dtype that the training's products really run in."""

from __future__ import annotations

from typing import Any

import pytest

from advisor.analysis import peaks
from advisor.rules._examples import gpu, healthy_cpu, healthy_cuda, model
from advisor.types import Rate

KNOWN = {
    name: Rate(value=value, basis="table", source="data sheet")
    for name, value in (("fp32", 67e12), ("tf32", 494e12), ("bf16", 989e12))
}


def used(of_convolutions: float | None, **changes: Any) -> tuple[float | None, str]:
    flags = {"autocast_dtype": None, "matmul_precision": "highest", **changes.pop("flags", {})}
    evidence = healthy_cuda(hardware={"accelerators": (gpu(peak_flops=KNOWN),)}, workload={"flags": flags, **changes})
    peak, dtype = peaks.peak_used(evidence.hardware, evidence.workload, of_convolutions)
    return None if peak is None else peak.value, dtype


def test_convolutions_take_tf32_by_default() -> None:
    assert used(1.0) == (494e12, "tf32")


def test_convolutions_do_not_where_it_is_off() -> None:
    assert used(1.0, flags={"cudnn_tf32": False}) == (67e12, "fp32")


def test_matrix_products_do_not_by_default() -> None:
    assert used(0.0) == (67e12, "fp32")
    assert used(None) == (67e12, "fp32")
    assert used(0.0, flags={"matmul_precision": "high"}) == (494e12, "tf32")


def test_both_have_a_peak_between() -> None:
    value, dtype = used(0.5)
    assert dtype == "tf32 and fp32"
    assert value == pytest.approx(1 / (0.5 / 494e12 + 0.5 / 67e12))


def test_autocast_and_half_weights_have_their_own() -> None:
    assert used(1.0, flags={"autocast_dtype": "bfloat16"}) == (989e12, "bf16")
    half = (model(device="cuda:0", parameter_dtypes={"bfloat16": 100, "float32": 3}),)
    assert used(0.0, models=half) == (989e12, "bf16")


def test_a_device_without_tf32_has_none() -> None:
    evidence = healthy_cuda(
        hardware={"accelerators": (gpu(peak_flops={"fp32": KNOWN["fp32"]}),)},
        workload={"flags": {"autocast_dtype": None}},
    )
    peak, dtype = peaks.peak_used(evidence.hardware, evidence.workload, 1.0)
    assert (peak, dtype) == (KNOWN["fp32"], "fp32")


def test_a_cpu_knows_no_tf32() -> None:
    evidence = healthy_cpu(hardware={"cpu_peak_flops": {"fp32": KNOWN["fp32"]}})
    assert peaks.peak_used(evidence.hardware, evidence.workload, 1.0) == (KNOWN["fp32"], "fp32")
