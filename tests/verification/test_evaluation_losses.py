"""Losses of evaluations, as the script itself prints them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from advisor.runtime import RunOptions
from advisor.runtime.protection import protect
from advisor.target.function import command_for
from advisor.types import Config, TrainingRun
from advisor.verification.training_run import Trainings

HEAD = """
import json, sys
import torch
from torch import nn

torch.manual_seed(0)
rows, targets = torch.randn(96, 8), torch.randint(0, 3, (96,))
model, criterion, printed = nn.Linear(8, 3), nn.CrossEntropyLoss({arguments}), []
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(rows[:64], targets[:64]), batch_size=16)
held_out = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(rows[64:], targets[64:]), batch_size=20)
for epoch in range(6):
    model.train()
    for batch, labels in batches:
        optimizer.zero_grad()
        criterion(model(batch), labels).backward()
        optimizer.step()
"""
EVALUATES = """
    model.eval()
    with torch.no_grad():
        total = sum(criterion(model(batch), labels).item() * {weight} for batch, labels in held_out)
    print(json.dumps(total / 32), file=open("evaluations.txt", "a"))
"""
WATCHES = """
    with torch.no_grad():
        criterion(model(rows[:64]), targets[:64])
"""


PRINTS = """
    with torch.no_grad():
        print(f"epoch {{epoch}}: accuracy 0.5, held_out={{criterion(model(rows[64:]), targets[64:]).item():.6f}}")
"""


def trained(folder: Path, text: str, updates: int = 24, metric: str = "") -> TrainingRun:
    script = folder / "train.py"
    script.write_text(text)
    options = RunOptions(runs=folder / "runs", isolation="none", metric=metric)
    command = command_for(str(script), [], is_module=False, interpreter=None, root=options.root)
    run = folder / "run"
    run.mkdir()
    return Trainings(command=command, folder=run, isolation=protect(command, options), options=options).train(
        Config(), updates=updates, seed=0
    )


@pytest.mark.parametrize(("arguments", "weight"), [("", "len(batch)"), ("reduction='sum'", "1")], ids=["mean", "sum"])
def test_they_are_those_that_the_script_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, weight: str
) -> None:
    monkeypatch.chdir(tmp_path)
    found = trained(tmp_path, HEAD.format(arguments=arguments) + EVALUATES.format(weight=weight), updates=22)
    assert found.validation is not None
    assert found.validation.updates == (4, 8, 12, 16, 20)  # the script is ended before the sixth
    printed = [json.loads(line) for line in (tmp_path / "evaluations.txt").read_text().splitlines()]
    assert found.validation.losses == pytest.approx(printed[:5], rel=1e-5)
    assert found.training is not None
    places = [found.training.updates.index(update) for update in found.validation.updates]
    assert found.validation.seconds == tuple(found.training.seconds[place] for place in places)


def test_a_loss_without_gradients_is_no_evaluation_while_the_model_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert trained(tmp_path, HEAD.format(arguments="") + WATCHES).validation is None


def test_another_function_than_that_of_the_training_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = HEAD.format(arguments="") + EVALUATES.format(weight="len(batch)")
    other = text.replace(
        "sum(criterion(model(batch), labels)", "sum(nn.functional.l1_loss(model(batch)[:, 0], batch[:, 0])"
    )
    assert trained(tmp_path, other).validation is None


def test_a_number_that_the_script_prints_by_name_stands_in_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = trained(tmp_path, HEAD.format(arguments="") + PRINTS.format(), updates=22, metric="held_out")
    assert found.validation is not None
    assert found.validation.updates == (4, 8, 12, 16, 20)
    printed = (tmp_path / "run" / "trainings" / "001" / "life-0.stdout").read_text()
    assert [f"held_out={loss:.6f}" for loss in found.validation.losses] == [
        line.rpartition(" ")[2] for line in printed.splitlines()[:5]
    ]
