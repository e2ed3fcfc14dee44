"""What the processes of one training have in common, and what not: random numbers, rates, the order of samples."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forked
import pytest

pytestmark = pytest.mark.slow

LIMIT_S = 240
SCRIPT = """
import json, os, random, sys, time
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

way, shared = sys.argv[1:3]
seen = {"read": [], "dropped": [], "drawn": [], "threads": []}

class Numbers(Dataset):
    def __len__(self):
        return 24

    def __getitem__(self, number):
        seen["read"].append(number)
        return torch.full((8,), float(number)) + torch.rand(1), torch.tensor([float(number)])

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.line, self.drop = nn.Linear(8, 64), nn.Dropout(0.5)

    def forward(self, x):
        kept = self.drop(torch.ones(64))
        seen["dropped"].append((kept > 0).int().tolist())
        return (self.line(x / 24) * kept).mean(1, keepdim=True)

class ByTheClock(torch.utils.data.Sampler):
    def __iter__(self):
        order = list(range(24))
        random.Random(time.time_ns()).shuffle(order)
        return iter(order)

if way == "seeded":
    torch.manual_seed(3)
if way == "own order":
    order = dict(sampler=ByTheClock())
elif way == "shuffles by hand":
    class Shuffled(torch.utils.data.Sampler):
        def __iter__(self):
            order = list(range(24))
            random.shuffle(order)
            return iter(order)
    order = dict(sampler=Shuffled())
else:
    order = dict(shuffle=True)
model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=10.0)
for epoch in range(4):
    for x, y in DataLoader(Numbers(), 6, **order):
        loss = nn.functional.mse_loss(model(x), y / 24)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if way == "own rate" and epoch == 2:
            optimizer.param_groups[0]["lr"] = loss.item()  # of this process' share
    model.eval()
    with torch.no_grad():
        model(torch.ones(1, 8))
    model.train()
seen["weights"] = [parameter.sum().item() for parameter in model.parameters()]
seen["threads"] = torch.get_num_threads()
is_first = os.readlink("/proc/self/fd/0") != os.devnull
with open(os.path.join(shared, "first" if is_first else "second"), "w") as file:
    json.dump(seen, file)
open("saved", "w").write("whole")
"""


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that the processes share, as their gradients are passed there."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


def run(folder: Path, shared: Path, way: str) -> subprocess.CompletedProcess[str]:
    (folder / "train.py").write_text(SCRIPT)
    return forked.advisor(
        folder,
        *("run", "--set", "processes=2", "train.py", way, shared),
        limit_s=LIMIT_S,
        environment={**os.environ, "XDG_STATE_HOME": str(folder / "state")},
        forks=True,
        stdin="/dev/zero",
    )


def of_both(shared: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    first, second = (json.loads((shared / name).read_text()) for name in ("first", "second"))
    return first, second


@pytest.mark.parametrize("way", ["seeded", "unseeded", "shuffles by hand"])
def test_an_epoch_reads_every_sample_once_and_each_process_drops_others(way: str, tmp_path: Path, shared: Path) -> None:
    done = run(tmp_path, shared, way)
    assert done.returncode == 0, done.stderr
    first, second = of_both(shared)
    # the first batch was drawn before a model was seen, and both train on all of it
    assert first["read"][:6] == second["read"][:6]
    rest = [sorted(one["read"][6:15]) for one in (first, second)]
    assert sorted([*first["read"][:6], *rest[0], *rest[1]]) == list(range(24))
    for epoch in range(3):
        begin = 15 + 12 * epoch
        halves = [one["read"][begin : begin + 12] for one in (first, second)]
        assert sorted([*halves[0], *halves[1]]) == list(range(24))
    assert first["weights"] == second["weights"]
    equal = [one == other for one, other in zip(first["dropped"], second["dropped"], strict=True)]
    assert not any(equal[1:4])
    assert first["threads"] == max(1, len(os.sched_getaffinity(0)) // 2)


def test_processes_that_no_longer_train_one_model_are_ended(tmp_path: Path, shared: Path) -> None:
    done = run(tmp_path, shared, "own rate")
    assert done.returncode == 97, done.stderr
    assert "advisor: the training was ended after 12 updates: the processes no longer have the same" in done.stderr
    assert "learning rate" in done.stderr
    assert not (tmp_path / "saved").exists()


def test_an_order_by_the_clock_is_trained_by_one(tmp_path: Path, shared: Path) -> None:
    done = run(tmp_path, shared, "own order")
    assert done.returncode == 0, done.stderr
    assert "the processes read different samples although they were seeded alike" in done.stderr
    assert sorted(path.name for path in shared.iterdir()) == ["first"]
    assert len(json.loads((shared / "first").read_text())["read"]) == 96
