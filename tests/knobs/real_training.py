"""A small script under `advisor run`, and what it saves."""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path
from typing import Any

import forked
import torch

LIMIT_S = 240
SCRIPT = """
import sys, torch
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.wide = nn.BatchNorm1d(8), nn.Linear(8, 32)
        self.drop, self.back = nn.Dropout(0.2), nn.Linear(32, 8)

    def forward(self, x):
        return x + self.back(self.drop(torch.relu(self.wide(self.norm(x)))))

torch.manual_seed(0)
model = nn.Sequential(nn.Sequential(Block(), Block(), Block()), nn.Linear(8, 4))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
for _ in range(12):
    x, y = torch.randn(16, 8), torch.randint(0, 4, (16,))
    loss = nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, sys.argv[1])
torch.save(model, sys.argv[1] + ".whole")
"""


@functools.cache
def alone() -> tuple[dict[str, Any], bytes]:
    """What the script saves without advisor: its checkpoint, and the pickled model's bytes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "train.py").write_text(SCRIPT)
        done = forked.run(folder, "train.py", "saved.pt", limit_s=LIMIT_S)
        assert done.code == 0, done.err
        return _saved(folder)


def trained(folder: Path, settings: str) -> tuple[dict[str, Any], bytes, str]:
    """What a real training with these settings saves: its checkpoint, the pickled model's bytes; and what was said."""
    (folder / "train.py").write_text(SCRIPT)
    (folder / "advisor.yaml").write_text(f"version: 1\nsettings: {settings}\n")
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    words = ("run", "--config", "advisor.yaml", "train.py", "saved.pt")
    done = forked.advisor(folder, *words, limit_s=LIMIT_S, environment=environment)
    assert done.returncode == 0, done.stderr
    return *_saved(folder), beside_the_settings(done.stderr)


def beside_the_settings(stderr: str) -> str:
    """What `advisor run` says besides its first line, which lists the settings."""
    first, _, rest = stderr.partition("\n")
    assert first.startswith("advisor: advisor.yaml: settings "), stderr
    return rest


def _saved(folder: Path) -> tuple[dict[str, Any], bytes]:
    return torch.load(folder / "saved.pt"), (folder / "saved.pt.whole").read_bytes()
