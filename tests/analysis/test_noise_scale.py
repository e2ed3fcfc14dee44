"""Gradient noise scale against linear regression, where it is known in closed form."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

import advisor
from advisor.analysis.noise_scale import LEAST_UPDATES, Norms, noise_scale, rows_of

DIMENSIONS, NOISE = 40, 0.5
CLOSE = 0.15


def variances() -> torch.Tensor:
    """Diagonal of the inputs' covariance, from 0.5 to 1.5."""
    return torch.linspace(0.5, 1.5, DIMENSIONS)


def closed_form(distance: torch.Tensor) -> float:
    """Noise scale of the loss (x·w − y)² with normal x of this covariance, at `distance` from the true weights.

    The gradient of a sample is 2 x (x·d − e). Its mean is 2 S d, and the trace of its covariance is
    4 (|S d|² + (d·S d + σ²) tr S) for normal x (Isserlis).
    """
    covariance = variances()
    moved = covariance * distance
    squared = float(moved @ moved)
    return (squared + (float(distance @ moved) + NOISE**2) * float(covariance.sum())) / squared


def squared_norm(batch: int, distance: torch.Tensor, generator: torch.Generator) -> float:
    x = torch.randn(batch, DIMENSIONS, generator=generator) * variances().sqrt()
    errors = x @ distance - NOISE * torch.randn(batch, generator=generator)
    gradient = (2 * x * errors[:, None]).mean(0)
    return float(gradient @ gradient)


def measured(updates: int, small: int, large: int, seed: int = 0) -> list[Norms]:
    generator = torch.Generator().manual_seed(seed)
    distance = torch.full((DIMENSIONS,), 0.3)
    return [
        Norms(
            small=squared_norm(small, distance, generator),
            small_samples=small,
            large=squared_norm(large, distance, generator),
            large_samples=large,
        )
        for _ in range(updates)
    ]


def test_it_is_within_15_percent_of_the_closed_form() -> None:
    true = closed_form(torch.full((DIMENSIONS,), 0.3))
    found = noise_scale(measured(400, 16, 128))
    assert found is not None
    assert found.samples == pytest.approx(true, rel=CLOSE)
    assert found.high is not None
    assert found.low < true < found.high


def test_its_interval_covers_the_closed_form_as_often_as_it_says() -> None:
    true = closed_form(torch.full((DIMENSIONS,), 0.3))
    found = [noise_scale(measured(48, 32, 64, seed)) for seed in range(40)]
    covered = [each.low <= true <= (each.high or math.inf) for each in found if each is not None]
    assert sum(covered) >= 34


def test_without_a_gradient_there_is_no_upper_end() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = [
        Norms(
            small=squared_norm(8, torch.zeros(DIMENSIONS), generator),
            small_samples=8,
            large=squared_norm(16, torch.zeros(DIMENSIONS), generator),
            large_samples=16,
        )
        for _ in range(48)
    ]
    found = noise_scale(rows)
    assert found is not None
    assert (found.samples, found.high, found.efficiency) == (None, None, None)
    assert found.low > 16


def test_few_or_broken_norms_say_nothing() -> None:
    rows = measured(LEAST_UPDATES, 8, 16)
    assert noise_scale(rows[1:]) is None
    broken = Norms(small=math.inf, small_samples=8, large=1.0, large_samples=16)
    assert noise_scale([*rows[1:], broken]) is None


def test_parts_of_an_accumulated_gradient_are_scaled_back() -> None:
    (row,) = rows_of({"small": [1.0], "small_samples": [8], "large": [3.0], "large_samples": [32]})
    assert (row.small, row.large) == (16.0, 3.0)


def test_efficiency_and_updates_of_larger_batches() -> None:
    found = noise_scale(measured(400, 16, 128), batch_samples=100)
    assert found is not None
    assert found.samples is not None
    assert found.efficiency == pytest.approx(found.samples / (found.samples + 100))
    assert found.updates_at(1) == 1.0
    assert found.updates_at(1e9) == pytest.approx(1 / (1 + found.samples / 100))


SCRIPT = f"""
import torch
from torch.utils.data import DataLoader, TensorDataset
torch.manual_seed(0)
torch.set_num_threads(1)
variances = torch.linspace(0.5, 1.5, {DIMENSIONS})
x = torch.randn(60_000, {DIMENSIONS}) * variances.sqrt()
y = {NOISE} * torch.randn(60_000)
model = torch.nn.Linear({DIMENSIONS}, 1, bias=False)
torch.nn.init.constant_(model.weight, 0.3)
optimizer = torch.optim.SGD(model.parameters(), lr=1e-12)
loader = DataLoader(TensorDataset(x, y), batch_size=256, shuffle=True)
for epoch in range(1000):
    for a, b in loader:
        loss = torch.nn.functional.mse_loss(model(a)[:, 0], b)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""


@pytest.mark.slow
@pytest.mark.usefixtures("forks", "thin")
def test_a_profile_measures_it_in_a_real_training(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    found = advisor.profile(tmp_path / "train.py", budget=4, noise_scale=True, runs=tmp_path / "runs")
    scale = found.noise_scale
    assert scale is not None, found.notes
    assert (scale.small_samples, scale.large_samples, scale.batch_samples) == pytest.approx((128, 256, 256), rel=0.05)
    true = closed_form(torch.full((DIMENSIONS,), 0.3))
    assert scale.samples == pytest.approx(true, rel=CLOSE)


@pytest.mark.slow
@pytest.mark.usefixtures("forks", "thin")
def test_micro_steps_of_a_script_show_it_as_well(tmp_path: Path) -> None:
    accumulating = SCRIPT.replace("batch_size=256", "batch_size=64").replace(
        "for a, b in loader:", "for number, (a, b) in enumerate(loader):"
    )
    accumulating = accumulating.replace(
        "        optimizer.zero_grad()\n        loss.backward()\n        optimizer.step()\n", ""
    )
    accumulating += """        (loss / 4).backward()
        if number % 4 == 3:
            optimizer.step()
            optimizer.zero_grad()
"""
    (tmp_path / "train.py").write_text(accumulating)
    scale = advisor.profile(tmp_path / "train.py", budget=4, noise_scale=True, runs=tmp_path / "runs").noise_scale
    assert scale is not None
    assert (scale.small_samples, scale.large_samples) == pytest.approx((64, 256), rel=0.05)
    assert scale.samples == pytest.approx(closed_form(torch.full((DIMENSIONS,), 0.3)), rel=CLOSE)


@pytest.mark.slow
@pytest.mark.usefixtures("forks", "thin")
def test_where_it_cannot_be_measured_the_reason_is_told(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT.replace("batch_size=256", "batch_size=255"))
    found = advisor.profile(tmp_path / "train.py", budget=2, noise_scale=True, runs=tmp_path / "runs")
    assert found.noise_scale is None
    assert "the gradient noise scale was not measured: a batch of 255 cannot be halved" in found.notes
