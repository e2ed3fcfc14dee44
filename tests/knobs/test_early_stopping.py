"""early_stopping: real trainings that end once their loss is flat, and those that cannot."""

from __future__ import annotations

from pathlib import Path

import forked
import pytest
from announced import without_announcement

from advisor import knobs

KNOB = knobs.get("early_stopping")
LIMIT_S = 120
SCRIPT = """
import sys, torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

def evaluate(model, loader):
    model.eval()
    total = 0.0
    with torch.no_grad():
        for x, y in loader:
            total += cross_entropy(model(x), y, reduction="sum").item()
    model.train()
    return total / len(loader.dataset)

def main(epochs=EPOCHS):
    torch.manual_seed(0)
    x = torch.randn(96, 8)
    y = (x[:, 0] > 0).long()
    train = DataLoader(TensorDataset(x[:64], y[:64]), batch_size=16, shuffle=True, num_workers=WORKERS)
    test = DataLoader(TensorDataset(x[64:], y[64:]), batch_size=16)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    schedule = SCHEDULE
    updates = epoch = 0
    LOOP:
        batches = 0
        for a, b in train:
            loss = cross_entropy(model(a), b)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            batches += 1
            updates += 1
        EXTRA
        schedule.step()
        epoch += 1
        print(epoch, batches, evaluate(model, test) if EVALUATES else "")
    torch.save(model.state_dict(), "saved.pt")
    print("saved")

if __name__ == "__main__":
    main()
"""
CONSTANT = "torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)"
NO_SCHEDULE = "type('No', (), {'step': lambda self: None})()"


def run(
    folder: Path,
    *,
    patience: str = "2 evaluations, 1%",
    epochs: int = 40,
    workers: int = 0,
    schedule: str = NO_SCHEDULE,
    loop: str = "for _ in range(epochs)",
    evaluates: bool = True,
    extra: str = "pass",
) -> tuple[list[list[str]], str]:
    """Return the words of the lines that the script prints, and what was told on stderr."""
    text = SCRIPT
    values = {"EPOCHS": epochs, "WORKERS": workers, "SCHEDULE": schedule, "LOOP": loop, "EVALUATES": evaluates}
    values["EXTRA"] = extra
    for name, value in values.items():
        text = text.replace(name, str(value))
    (folder / "train.py").write_text(text)
    (folder / "advisor.yaml").write_text(f"version: 1\nsettings: {{early_stopping: '{patience}'}}\n")
    done = forked.advisor(folder, "run", "--config", "advisor.yaml", "train.py", limit_s=LIMIT_S)
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()], without_announcement(done.stderr)


def trained_epochs(lines: list[list[str]]) -> int:
    counts = [line[1] for line in lines[:-1]]
    ended = counts.index("0") if "0" in counts else len(counts)
    assert set(counts[:ended]) == {"4"}
    assert set(counts[ended:]) <= {"0"}, "an ended loader stays empty"
    return ended


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_the_loader_ends_once_the_evaluations_loss_is_flat_and_the_script_goes_on(tmp_path: Path, workers: int) -> None:
    lines, said = run(tmp_path, workers=workers)
    ended = trained_epochs(lines)
    losses = [float(line[2]) for line in lines[:ended]]
    lowest = min(losses[:-2])
    assert ended < 40
    assert all(loss > 0.99 * lowest for loss in losses[-2:])
    assert f"early stopping after {4 * ended} updates: the evaluation's loss has not fallen below" in said
    assert len(lines) == 41, "every epoch of the script is run"
    assert lines[-1] == ["saved"]
    assert (tmp_path / "saved.pt").exists()


@pytest.mark.slow
def test_without_evaluations_the_training_loss_of_an_epoch_decides(tmp_path: Path) -> None:
    lines, said = run(tmp_path, evaluates=False, patience="2 epochs, 50%", epochs=60)
    assert trained_epochs(lines) < 60
    assert "the mean training loss of an epoch has not fallen below" in said


@pytest.mark.slow
def test_nothing_ends_before_a_decay_that_is_still_to_come(tmp_path: Path) -> None:
    decay = "torch.optim.lr_scheduler.MultiStepLR(optimizer, [25], 0.01)"
    ended = trained_epochs(run(tmp_path, schedule=decay)[0])
    assert 25 < ended < 40
    assert trained_epochs(run(tmp_path, schedule=CONSTANT)[0]) == 40, "a scheduler may always lower the rate"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loop", "why"),
    [
        ("while updates < 100", "a `while` around the loop would wait for updates that no longer come"),
        ("while epoch < epochs", "a `while` around the loop would wait"),
    ],
)
def test_a_while_is_left_alone(tmp_path: Path, loop: str, why: str) -> None:
    lines, said = run(tmp_path, loop=loop)
    assert trained_epochs(lines) in (25, 40)
    assert f"early_stopping keeps the script's value: {why}" in said


@pytest.mark.slow
def test_a_script_that_fails_in_an_empty_epoch_is_left_alone(tmp_path: Path) -> None:
    lines, said = run(tmp_path, extra="mean = loss.item() / batches")
    assert trained_epochs(lines) == 40
    assert "divides by `batches`, which counts batches and is 0 in an epoch without any" in said


WITHIN_AN_EPOCH = """
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x = torch.randn(4096, 8)
y = (x[:, 0] > 0).long()
model = nn.Linear(8, 2)
optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
for number, (a, b) in enumerate(DataLoader(TensorDataset(x, y), batch_size=8)):
    loss = cross_entropy(model(a), b)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if number % 10 == 0:
        model.eval()
        with torch.no_grad():
            print(number, cross_entropy(model(x[:64]), y[:64]).item())
        model.train()
torch.save(model.state_dict(), "saved.pt")
"""


@pytest.mark.slow
def test_an_epoch_ends_early_where_evaluations_lie_within_it(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(WITHIN_AN_EPOCH)
    (tmp_path / "advisor.yaml").write_text("version: 1\nsettings: {early_stopping: '2 evaluations, 20%'}\n")
    done = forked.advisor(tmp_path, "run", "--config", "advisor.yaml", "train.py", limit_s=LIMIT_S)
    assert done.returncode == 0, done.stderr
    evaluations = [int(line.split()[0]) for line in done.stdout.splitlines()]
    assert evaluations[-1] < 500
    assert f"early stopping after {evaluations[-1] + 1} updates" in done.stderr
    assert (tmp_path / "saved.pt").exists()


def test_a_wrong_value_is_told() -> None:
    assert KNOB.wrong("5 evaluations, 0.1%") is None
    assert "expected a number of evaluations" in (KNOB.wrong("soon") or "")
