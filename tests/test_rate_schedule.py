"""Shapes of the learning-rate schedules, against torch's own where it has them."""

from __future__ import annotations

import math

import pytest
import torch

from advisor import rate_schedule
from advisor.rate_schedule import NAMES, Plateau, factor

UPDATES = 40


def by_torch(make: object) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    schedule = make(optimizer)  # type: ignore[operator]
    rates = []
    for _ in range(UPDATES):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("linear", lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.0, total_iters=UPDATES)),
        ("cosine", lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, UPDATES)),
        ("constant", lambda o: torch.optim.lr_scheduler.ConstantLR(o, 1.0)),
    ],
)
def test_shapes_that_torch_has(name: str, make: object) -> None:
    assert [factor(name, done, UPDATES) for done in range(UPDATES)] == pytest.approx(by_torch(make), abs=1e-9)


def test_one_cycle_rises_and_falls_as_torchs() -> None:
    def make(optimizer: torch.optim.Optimizer) -> object:
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=UPDATES + 1, cycle_momentum=False)

    ours, theirs = [factor("one_cycle", done, UPDATES) for done in range(UPDATES)], by_torch(make)
    assert max(abs(one - other) for one, other in zip(ours, theirs, strict=True)) < 0.15  # one step apart
    assert ours[0] == pytest.approx(1 / 25)
    assert max(ours) == pytest.approx(1.0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("warm_up", [None, 0.0, 0.1, 0.5])
@pytest.mark.parametrize("updates", [1.0, 2.0, 7.5, 1000.0])
def test_every_factor_is_between_0_and_1_and_the_last_one_stays(
    name: str, warm_up: float | None, updates: float
) -> None:
    factors = [factor(name, done, updates, warm_up) for done in range(math.ceil(updates) + 20)]
    assert all(0 <= one <= 1 for one in factors)
    falling = name in ("linear", "cosine", "wsd")
    if falling:
        assert factors[-1] == pytest.approx(0.0, abs=1e-9)
    if name not in ("inverse_sqrt",):
        assert factors[-1] == factors[-2]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "one_cycle"])
def test_a_warm_up_rises_steadily_to_the_peak(name: str) -> None:
    factors = [factor(name, done, 100, 0.2) for done in range(21)]
    assert factors == sorted(factors)
    assert factors[0] < 0.06
    assert factors[20] == pytest.approx(1.0, abs=0.05)


def test_wsd_stays_and_falls_in_the_last_fifth() -> None:
    factors = [factor("wsd", done, 100, 0.0) for done in range(100)]
    assert factors[:80] == [1.0] * 80
    assert factors[90] == pytest.approx(0.5)


def test_the_inverse_root_halves_after_four_times_the_warm_up() -> None:
    assert factor("inverse_sqrt", 399, 1000, 0.1) == pytest.approx(0.5)


def test_a_plateau_halves_the_rate_only_when_the_loss_stays() -> None:
    plateau = Plateau(100)
    for number in range(50):
        plateau.read(10.0 / (number + 1))
    assert plateau.factor == 1.0
    for _ in range(20):
        plateau.read(0.2)
    assert plateau.factor < 1.0
    before = plateau.factor
    plateau.read(math.nan)
    assert plateau.factor in (before, before / 2)


def test_a_length_is_needed_for_all_but_a_constant_rate() -> None:
    assert [name for name in NAMES if not rate_schedule.needs_length(name, None)] == ["constant"]
    assert rate_schedule.needs_length("constant", 0.1)
