"""Findings on the learning itself, in a profile of a real script that has several of the faults."""

from __future__ import annotations

import pytest

import advisor
from advisor.types import Finding, Profile

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forks")]

SCRIPT = """
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
torch.set_num_threads(1)
EPOCHS = 300
x = torch.randn(400, 16)
y = torch.where(torch.rand(400) < 0.5, torch.randint(0, 4, (400,)), (x[:, 0] > 0).long())
train = DataLoader(TensorDataset(x[:128], y[:128]), batch_size=16, shuffle=True)
test = DataLoader(TensorDataset(x[128:], y[128:]), batch_size=64)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(16, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())
        self.unused, self.head = nn.Linear(16, 300), nn.Linear(128, 10)

    def forward(self, x):
        return self.head(self.body(x))

model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
model.head = nn.Linear(128, 4)

def main():
    for epoch in range(EPOCHS):
        model.train()
        for a, b in train:
            loss = cross_entropy(model(a), b)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.body.parameters(), 0.02)
            optimizer.step()
        model.eval()
        with torch.no_grad():
            print(sum(cross_entropy(model(a), b).item() for a, b in test))

main()
"""


@pytest.fixture(scope="module")
def profile(forks: None, tmp_path_factory: pytest.TempPathFactory) -> Profile:
    folder = tmp_path_factory.mktemp("learning")
    (folder / "train.py").write_text(SCRIPT)
    return advisor.profile(folder / "train.py", budget=8, runs=folder / "runs")


def found(profile: Profile, rule: str) -> Finding:
    return next(finding for finding in profile.findings if finding.rule == rule)


def test_parameters_without_gradients_are_found(profile: Profile) -> None:
    finding = found(profile, "dead_parameters")
    assert "`unused.weight`, `unused.bias`" in finding.evidence
    assert "1,290 of these belong to no model" in finding.evidence


def test_a_head_that_the_optimizer_does_not_know_is_found(profile: Profile) -> None:
    finding = found(profile, "frozen_by_accident")
    assert finding.severity == "warning"
    assert "`head.weight`, `head.bias` (516 parameters" in finding.evidence


def test_clipping_that_always_acts_is_found(profile: Profile) -> None:
    finding = found(profile, "gradients_clipped_always")
    assert "times the limit of 0.02" in finding.evidence


def test_the_length_of_the_training_and_its_evaluations_are_seen(profile: Profile) -> None:
    assert profile.workload is not None
    facts = profile.workload.learning
    assert (facts.planned_updates, facts.planned_epochs) == (300 * 8, 300)
    assert facts.first_rate == facts.largest_rate == 0.2
    assert facts.first_loss == pytest.approx(1.4, abs=0.3)
    assert len(facts.evaluations) > 3
    assert [each.updates % 8 for each in facts.evaluations[:3]] == [0, 0, 0]
    assert facts.evaluations[0].loss == pytest.approx(1.4, abs=0.3)
    assert facts.moved


def test_no_noise_scale_is_measured_unless_it_is_asked_for(profile: Profile) -> None:
    assert profile.noise_scale is None
    assert "noise scale" not in [window.id for window in profile.windows]


def test_losses_are_those_before_any_window_that_changes_the_training(profile: Profile) -> None:
    trend = profile.losses
    assert trend is not None
    assert trend.first >= 3
    assert trend.updates > 100
    assert trend.end < trend.start
