"""cudnn_benchmark: for fixed shapes on CUDA only, and the switch put back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from live import says

from advisor import knobs
from advisor.rules._examples import conv_model, evolve, healthy_cpu, healthy_cuda
from advisor.types import Evidence

KNOB = knobs.get("cudnn_benchmark")


def values(evidence: Evidence) -> Any:
    return KNOB.values(evidence.hardware, evidence.workload)


def cuda(**workload: Any) -> Evidence:
    found: Evidence = evolve(healthy_cuda(), {"workload": {"models": (conv_model(device="cuda:0"),), **workload}})
    return found


def test_convolutions_on_batches_of_one_shape_open_it() -> None:
    assert values(cuda()).values == (True,)


def test_a_training_on_the_cpu_closes_it() -> None:
    assert "runs on cpu" in values(healthy_cpu()).why_closed


@pytest.mark.parametrize(
    ("workload", "reason"),
    [
        ({"flags": {"cudnn_benchmark": True}}, "already"),
        ({"flags": {"deterministic": True}}, "deterministic"),
        ({"fixed_shapes": False}, "batch shapes vary"),
        ({"models": healthy_cuda().workload.models}, "no convolutions"),
    ],
)
def test_what_closes_it_is_said(workload: dict[str, Any], reason: str) -> None:
    assert reason in values(cuda(**workload)).why_closed


@pytest.mark.slow
@pytest.mark.parametrize("written", [False, True])
def test_the_switch_is_as_the_script_had_it_afterwards(tmp_path: Path, written: bool) -> None:
    code = f"""
    torch.backends.cudnn.benchmark = {written}
    wanted = train()
    hook()
    seen = []
    look = lambda number: seen.append(torch.backends.cudnn.benchmark)
    switched = train({{3: {{"cudnn_benchmark": True}}, 9: {{}}}}, look=look)
    print(switched.same(wanted), seen[5], seen[12])
    """
    assert says(tmp_path, code) == f"True True {written}"
