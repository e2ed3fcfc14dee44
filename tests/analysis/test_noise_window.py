"""Window of the gradient noise scale, and what a search makes of the measurement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from advisor import knobs, wire
from advisor.analysis import noise_window
from advisor.analysis.fixes import as_diagnosed
from advisor.rules._examples import healthy_cpu, optimizer, train_loader
from advisor.types import Evidence, NoiseScale

BATCH = knobs.get("global_batch")


def evidence(high: float | None = None, **changes: Any) -> Evidence:
    scale = NoiseScale(
        updates=48, small_samples=32, large_samples=64, batch_samples=64, samples=high, low=10.0, high=high
    )
    return healthy_cpu(workload=changes, noise_scale=None if high is None else scale)


def window(**changes: Any) -> wire.Window | str:
    found = evidence(**changes)
    return noise_window.window(found.workload, found.hardware)


def test_a_batch_is_split_in_halves() -> None:
    planned = window()
    assert isinstance(planned, wire.Window)
    assert (planned.kind, list(planned.config.values())) == ("noise_scale", [32])


def test_micro_steps_of_the_script_are_parts_already() -> None:
    planned = window(facts={"micro_steps": 4})
    assert isinstance(planned, wire.Window)
    assert planned.config == {}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"world_size": 2}, "2 ranks"),
        ({"loaders": ()}, "no DataLoader feeds the updates"),
        ({"loaders": (train_loader(batch_size=63),)}, "a batch of 63 cannot be halved"),
        ({"facts": {"closures": True, "micro_steps": 5}}, "closure"),
        ({"optimizers": (optimizer(), optimizer(main=False)), "facts": {"micro_steps": 3}}, "2 optimizers step"),
    ],
)
def test_where_a_batch_cannot_be_split_the_reason_is_told(changes: dict[str, Any], why: str) -> None:
    assert why in str(window(**changes))


def test_a_search_measures_it_only_where_it_is_cheap() -> None:
    found = evidence()
    planned = [list(noise_window.plan(found.workload, found.hardware, 0.1, left_s)) for left_s in (20.0, 200.0)]
    assert [len(windows) for windows in planned] == [0, 1]


def values(high: float | None) -> knobs.Values:
    found = evidence(high)
    workload = as_diagnosed(found.workload, (), found)
    return BATCH.values(found.hardware, workload)


def test_larger_batches_are_tried_up_to_the_noise_scale() -> None:
    assert values(None).values == (128, 256, 512)
    assert values(130.0).values == (128, 256)
    assert "gradient noise scale is 130 at most" in values(130.0).why


def test_beyond_the_noise_scale_no_larger_batch_is_tried() -> None:
    assert "hardly fewer updates" in (values(60.0).why_closed or "")


def test_an_open_interval_closes_nothing() -> None:
    found = replace(evidence(100.0), noise_scale=replace(evidence(100.0).noise_scale, high=None))  # type: ignore[type-var]
    workload = as_diagnosed(found.workload, (), found)
    assert BATCH.values(found.hardware, workload).values == (128, 256, 512)
