"""Evaluations that keep what they need not, in running scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor import wire
from advisor.analysis import assembly
from advisor.analysis.profile_plan import EPOCH_ENDS, FIRST
from advisor.types import Evidence

from .probing import probe

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forks")]

SCRIPT = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

WORDS = 2000

def scored(model, loader):
    model.eval()
    scores = []
    with GRADIENTS:
        for words, _ in loader:
            scores.append(KEPT)
    return torch.cat(scores).float().softmax(-1).max().item()

words = torch.randint(0, WORDS, (400, 32))
train = DataLoader(TensorDataset(words, words), batch_size=16, shuffle=True)
valid = DataLoader(TensorDataset(words[:320], words[:320]), batch_size=16)
model = nn.Sequential(nn.Embedding(WORDS, 16), nn.Linear(16, WORDS))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(20):
    model.train()
    for x, y in train:
        loss = nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    scored(model, valid)
"""


def evidence(tmp_path: Path, kept: str, gradients: str = "torch.no_grad()") -> Evidence:
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").write_text(SCRIPT.replace("KEPT", kept).replace("GRADIENTS", gradients))
    wanted = [
        wire.Window(id=FIRST, role=wire.WindowRole.PROFILE, min_updates=10, max_updates=15, max_s=6.0),
        wire.Window(id=EPOCH_ENDS[0], kind="epoch_end", warm_up_updates=0, min_updates=3, max_updates=3, max_s=4.0),
        wire.Window(id="base", role=wire.WindowRole.BASELINE, min_updates=5, max_updates=5),
    ]
    found = assembly.evidence_of(probe(["train.py"], cwd=project, folder=tmp_path, wanted=wanted).profile)
    assert found is not None
    return found


def test_outputs_that_are_kept_whole_are_seen_with_what_is_computed_of_them(tmp_path: Path) -> None:
    found = evidence(tmp_path, "model(words)")
    assert found.workload.facts.evaluation_keeps_outputs
    assert found.evaluation is not None
    assert found.evaluation.count == 1
    assert found.evaluation.forward_fraction is not None
    assert found.evaluation.forward_fraction < 0.7


def test_classes_that_are_kept_are_not(tmp_path: Path) -> None:
    assert not evidence(tmp_path, "model(words).argmax(-1)").workload.facts.evaluation_keeps_outputs


def test_an_evaluation_with_gradients_on_is_one(tmp_path: Path) -> None:
    found = evidence(tmp_path, "model(words).argmax(-1)", "torch.enable_grad()")
    assert found.workload.learning is not None
    assert found.workload.learning.evaluates_with_gradients
    assert found.evaluation is not None
    assert found.evaluation.count >= 1
    assert found.workload.facts.micro_steps == 1


def test_an_evaluation_without_gradients_builds_no_graph(tmp_path: Path) -> None:
    found = evidence(tmp_path, "model(words).argmax(-1)")
    assert found.workload.learning is not None
    assert not found.workload.learning.evaluates_with_gradients


def test_an_attack_in_evaluation_mode_needs_its_gradients(tmp_path: Path) -> None:
    slope = "torch.autograd.grad(model(words).square().sum(), model[1].weight)[0]"
    found = evidence(tmp_path, slope, "torch.enable_grad()")
    assert found.workload.learning is not None
    assert not found.workload.learning.evaluates_with_gradients
