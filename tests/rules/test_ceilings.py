"""Ceilings that follow from a share: an estimate, and how far it may be wrong."""

from __future__ import annotations

import pytest

from advisor import rules
from advisor.rules._examples import gpu, healthy_cpu, healthy_cuda, line
from advisor.types import Ceiling, Finding, Rate


def test_a_share_is_the_estimate_and_the_rest_may_gain_beyond_it() -> None:
    ceiling = Ceiling.from_share(0.5)
    assert (ceiling.speedup, ceiling.low) == (2.0, 1.0)
    assert ceiling.high == pytest.approx(1.25 / 0.49)


def test_near_all_of_the_loop_a_percent_decides_and_nothing_is_endless() -> None:
    assert Ceiling.from_share(0.985).high == pytest.approx(1.25 / 0.005)
    whole = Ceiling.from_share(1.0)
    assert (whole.speedup, whole.high) == (pytest.approx(50.0), pytest.approx(250.0))


@pytest.mark.parametrize("high", [0.1, 0.3])
def test_the_most_is_never_less_than_the_estimate(high: float) -> None:
    ceiling = Ceiling.from_share(0.3, high=high)
    assert ceiling.speedup < ceiling.high == pytest.approx(1.25 / 0.69)


def test_lines_that_few_samples_saw_can_give_what_lies_between_the_phases() -> None:
    evidence = healthy_cpu(phases={"other": 0.6}, lines=(line("python", 0.2, text="for label in labels:"),))
    found = next(one for one in rules.diagnose(evidence).findings if one.rule == "host_code")
    assert found.ceiling is not None
    assert found.ceiling.speedup == pytest.approx(1.25)
    assert found.ceiling.high == pytest.approx(1.25 / 0.39, rel=0.05)


@pytest.mark.parametrize(("update_s", "low", "high"), [(0.167, 3.5, 5.3), (1.67, 1.5, 2.0)])
def test_products_that_fill_an_accelerator_in_float32_promise_what_their_flops_say(
    update_s: float, low: float, high: float
) -> None:
    """GPT-2 on an H100, 7.0 TFLOP an update: 4.6 to 5.3 times as fast in bf16. If it took ten times as long, its time
    would not be products."""
    peaks = {"fp32": 66.9e12, "bf16": 989e12}
    rates = {name: Rate(value=value, basis="table", source="an example") for name, value in peaks.items()}
    evidence = healthy_cuda(
        workload={"flags": {"autocast_dtype": None, "matmul_precision": "highest"}},
        hardware={"accelerators": (gpu(peak_flops=rates),)},
        compute={"achieved_flops_per_s": 7e12 / update_s},
    )
    judged = rules.get("precision_unused").check(evidence)
    assert isinstance(judged, Finding)
    assert judged.ceiling is not None
    assert low < judged.ceiling.speedup < high
    assert judged.ceiling.high > 5.0 or update_s > 1
