"""matmul_precision: for what `precision` does not reach, and every switch as it was afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from live import says

from advisor import knobs, rules
from advisor.rules._examples import evolve, healthy_cpu, healthy_cuda
from advisor.types import Evidence

KNOB = knobs.get("matmul_precision")
SWITCHES = """
def switches():
    return (torch.get_float32_matmul_precision(), torch.backends.mkldnn.matmul.fp32_precision,
            torch.backends.cuda.matmul.fp32_precision, torch.backends.mkldnn.conv.fp32_precision)
"""


def values(evidence: Evidence, **changes: Any) -> Any:
    found = evolve(evidence, changes)
    return KNOB.values(found.hardware, found.workload)


def cpu(*instructions: str) -> dict[str, Any]:
    return {"cpu": {"instruction_sets": instructions}}


def test_on_a_cpu_it_needs_bf16_instructions() -> None:
    flags = {"flags": {"matmul_precision": "highest", "autocast_dtype": None}}
    assert values(healthy_cpu(), hardware=cpu("avx2", "amx_bf16"), workload=flags).values == ("medium",)
    assert "no bf16 instructions" in values(healthy_cpu(), hardware=cpu("avx2"), workload=flags).why_closed
    own = {"flags": {"matmul_precision": "highest", "autocast_dtype": "bfloat16"}}
    assert "script's autocast" in values(healthy_cpu(), hardware=cpu("amx_bf16"), workload=own).why_closed


def test_on_cuda_it_is_for_scripts_with_their_own_autocast() -> None:
    """Elsewhere precision=tf32 is the same thing, and is not to be tried twice."""
    own = {"flags": {"matmul_precision": "highest", "autocast_dtype": "bfloat16"}}
    none = {"flags": {"matmul_precision": "highest", "autocast_dtype": None}}
    assert values(healthy_cuda(), workload=own).values == ("high",)
    assert values(healthy_cuda(), workload=none).why_closed == "precision=tf32 covers it"
    precision = evolve(healthy_cuda(), {"workload": own})
    assert knobs.get("precision").values(precision.hardware, precision.workload).why_closed is not None


def test_a_script_that_has_chosen_keeps_its_choice() -> None:
    flags = {"flags": {"matmul_precision": "high"}}
    assert "its own precision" in values(healthy_cuda(), workload=flags).why_closed


def test_it_is_opened_by_the_rules_on_precision() -> None:
    assert "matmul_precision" in rules.get("precision_unused").helpful_knobs
    assert "matmul_precision" in rules.get("tf32_off").helpful_knobs


@pytest.mark.slow
@pytest.mark.parametrize("common", ["highest", "high"])
def test_every_switch_is_as_it_was_afterwards_and_losses_are_close(tmp_path: Path, common: str) -> None:
    code = f"""
    if {common!r} != "highest":
        torch.set_float32_matmul_precision({common!r})
    before = switches()
    wanted = train()
    hook()
    seen = {{}}
    def look(number):
        seen[number] = switches()
    switched = train({{3: {{"matmul_precision": "medium"}}, 9: {{}}}}, look=look)
    print(switched.close(wanted, rtol=0.05), seen[5][0], seen[2] == seen[10] == switches() == before)
    """
    assert says(tmp_path, SWITCHES, code) == "True medium True"
