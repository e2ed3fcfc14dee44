"""Updates of several backwards: processes communicate in the last one only, and train what one process trains."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import forked
import pytest
import torch
from test_parallelism import ROUNDING, difference, run

pytestmark = pytest.mark.slow

BATCHES = 8
"""Batches of an epoch."""
SCRIPT = """
import sys
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader, TensorDataset

way = sys.argv[1]
torch.manual_seed(1)
x = torch.randn(53, 8)
model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.02 if way == "scaled" else 0.5, momentum=0.9)
scaler = torch.amp.GradScaler("cpu", init_scale=4.0, enabled=way == "scaled")
loader = DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), 7, shuffle=way != "scaled")

def steps_after(epoch, number):
    if way == "over epochs":
        return (len(loader) * epoch + number) % 3 == 2
    if way in ("changes", "scaled") and epoch > 2:
        return number % 2 == 1
    return number % 3 == 2 or number + 1 == len(loader)

def train(epoch):
    for number, (inputs, targets) in enumerate(loader):
        loss = F.mse_loss(model(inputs), targets) / 3
        if way == "scaled" and epoch == 3 and inputs[0].equal(x[0]):
            loss = loss * float("inf")  # in the first process only, and no process may step
        scaler.scale(loss).backward()
        if steps_after(epoch, number):
            scaler.unscale_(optimizer)
            if way != "scaled":
                clip_grad_norm_(model.parameters(), 0.1)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()

sent = []
for epoch in range(5):
    with torch.profiler.profile() as profile:
        train(epoch)
    sent.append(sum("all_reduce" in event.name for event in profile.events()))
torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, "saved.pt")
torch.save(sent, "sent.pt")
"""


@functools.cache
def alone(way: str) -> Any:
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "train.py").write_text(SCRIPT)
        done = forked.run(Path(name), "train.py", way, limit_s=240.0)
        assert done.code == 0, done.err
        return torch.load(Path(name) / "saved.pt")


@pytest.mark.parametrize(
    ("way", "sent"),
    [
        ("to the end", (3, 3, 3)),
        ("over epochs", (3, 3, 4)),  # the last batch of an epoch is sent although its update goes on
        ("changes", (3, 8, 8)),  # an early step is averaged in two calls, then each of the six backwards that are left
        ("scaled", (3, 8, 8)),
    ],
)
def test_gradients_are_sent_once_an_update(way: str, sent: tuple[int, ...], tmp_path: Path) -> None:
    done = run(tmp_path, way, "parallelism=ddp", "processes=2", text=SCRIPT)
    assert done.returncode == 0, done.stderr
    assert difference(alone(way), torch.load(tmp_path / "saved.pt")) < ROUNDING
    first, second, *later = torch.load(tmp_path / "sent.pt")
    # in the first update each backward is averaged in two calls, then in one until the length is known
    assert first >= BATCHES >= second
    assert tuple(later) == sent
