"""Batches, backwards, updates, samples and evaluations: each counted by its own event, in scripts that mix them up."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor import knobs
from advisor.analysis import assembly
from advisor.rules import diagnose
from advisor.target.training_length import epoch_updates
from advisor.types import Evidence, Profile

from .probing import probe

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forks")]

ADVERSARIES = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

loader = DataLoader(TensorDataset(torch.randn(512, 8)), batch_size=16, shuffle=True)
maker = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 8))
critic = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
of_maker = torch.optim.Adam(maker.parameters(), lr=1e-3)
of_critic = torch.optim.Adam(critic.parameters(), lr=1e-3)
score = nn.BCEWithLogitsLoss()
for epoch in range(20):
    for (real,) in loader:
        fake = maker(torch.randn(len(real), 4))
        of_critic.zero_grad()
        score(critic(real), torch.ones(len(real), 1)).backward()
        score(critic(fake.detach()), torch.zeros(len(real), 1)).backward()
        of_critic.step()
        of_maker.zero_grad()
        score(critic(fake), torch.ones(len(real), 1)).backward()
        of_maker.step()
"""
ACCUMULATION = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

loader = DataLoader(TensorDataset(torch.randn(512, 8), torch.randn(512, 1)), batch_size=16, shuffle=True)
net = nn.Linear(8, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
for epoch in range(60):
    for number, (x, y) in enumerate(loader, start=1):
        (nn.functional.mse_loss(net(x), y) / 4).backward()
        if number % 4 == 0:
            optimizer.step()
            optimizer.zero_grad()
"""
CLOSURE = """
import time
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

loader = DataLoader(TensorDataset(torch.randn(512, 8), torch.randn(512, 1)), batch_size=16, shuffle=True)
net = nn.Linear(8, 1)
optimizer = torch.optim.LBFGS(net.parameters(), lr=0.1, max_iter=4)
for epoch in range(8):
    for x, y in loader:
        def closure():
            optimizer.zero_grad()
            time.sleep(0.02)
            loss = nn.functional.mse_loss(net(x), y)
            loss.backward()
            return loss
        optimizer.step(closure)
"""
ENSEMBLE = """
import torch
from torch import nn

members = nn.ModuleList(nn.Linear(8, 1) for _ in range(5))
optimizer = torch.optim.SGD(members.parameters(), lr=1e-3)
data, target = torch.randn(640, 8), torch.randn(640, 1)
for step in range(600):
    rows = torch.randint(0, len(data), (32,))
    x, y = data[rows], target[rows]
    optimizer.zero_grad()
    for member in members:
        nn.functional.mse_loss(member(x), y).backward()
    optimizer.step()
"""
ROLLOUTS = """
import time
import torch
from torch import nn

class Walk:
    def reset(self):
        self.at = torch.zeros(4)
        return self.at
    def step(self, action):
        time.sleep(0.0005)
        self.at = self.at + 0.1 * (action - 0.5)
        return self.at, float(-self.at.abs().sum()), False

policy = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 2))
optimizer = torch.optim.Adam(policy.parameters(), lr=1e-3)
walk = Walk()
for iteration in range(60):
    policy.eval()
    seen, taken, rewards, state = [], [], [], walk.reset()
    with torch.no_grad():
        for _ in range(40):
            action = torch.distributions.Categorical(logits=policy(state)).sample()
            seen.append(state)
            taken.append(action)
            state, reward, done = walk.step(action)
            rewards.append(reward)
    policy.train()
    logits = policy(torch.stack(seen))
    loss = (nn.functional.cross_entropy(logits, torch.stack(taken), reduction="none") * torch.tensor(rewards)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
SAMPLER = """
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

class Rows(Dataset):
    def __len__(self):
        return 512
    def __getitem__(self, index):
        return torch.full((8,), float(index)), torch.zeros(1)

rows = Rows()
loader = DataLoader(rows, batch_size=16, sampler=RandomSampler(rows, replacement=True, num_samples=10**10))
net = nn.Linear(8, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
for number, (x, y) in enumerate(loader):
    loss = nn.functional.mse_loss(net(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if number == 600:
        break
"""


def profiled(tmp_path: Path, script: str) -> Profile:
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").write_text(script)
    found = probe(["train.py"], cwd=project, folder=tmp_path).profile
    assert found.steps is not None, found.failure
    return found


def evidence_of(profile: Profile) -> Evidence:
    found = assembly.evidence_of(profile)
    assert found is not None
    return found


def test_an_epoch_of_32_batches_has_32_updates_of_two_adversaries(tmp_path: Path) -> None:
    profile = profiled(tmp_path, ADVERSARIES)
    assert profile.steps is not None
    assert profile.workload is not None
    assert profile.steps.batches_per_update == 1.0
    assert epoch_updates(profile.workload) == pytest.approx(32, rel=0.05)


def test_accumulated_batches_are_parts_of_one_update(tmp_path: Path) -> None:
    profile = profiled(tmp_path, ACCUMULATION)
    assert profile.steps is not None
    assert profile.workload is not None
    assert (profile.steps.batches_per_update, profile.steps.samples_per_update) == (4.0, 64.0)
    assert epoch_updates(profile.workload) == pytest.approx(8, rel=0.05)


def test_a_closure_repeats_one_batch_and_is_not_the_optimizers_work(tmp_path: Path) -> None:
    profile = profiled(tmp_path, CLOSURE)
    assert profile.steps is not None
    assert profile.steps.batches_per_update == 1.0
    assert profile.steps.samples_per_update == 16.0
    assert profile.phases["other"] > 0.6
    assert profile.phases["optimizer"] < 0.3


def test_members_of_an_ensemble_see_the_same_samples(tmp_path: Path) -> None:
    profile = profiled(tmp_path, ENSEMBLE)
    assert profile.steps is not None
    assert profile.steps.samples_per_update == 32.0


def test_rollouts_are_no_evaluation_to_do_less_often(tmp_path: Path) -> None:
    profile = profiled(tmp_path, ROLLOUTS)
    said = [f"{finding.advice} {finding.evidence}" for finding in diagnose(evidence_of(profile)).findings]
    assert not [text for text in said if "valuat" in text or "DataLoader" in text]


def test_a_cache_holds_the_datasets_samples_and_not_the_samplers_draws(tmp_path: Path) -> None:
    found = evidence_of(profiled(tmp_path, SAMPLER))
    loader = found.workload.train_loader
    assert loader is not None
    assert (loader.dataset_samples, loader.length_samples) == (512, 10**10)
    values = knobs.get("cache_dataset").values(found.hardware, found.workload)
    assert values.values == (True,), values.why_closed
