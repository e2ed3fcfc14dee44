"""Scripts whose updates take longer and longer, from the running process to the finding."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor import wire
from advisor.analysis import assembly
from advisor.analysis.profile_plan import FIRST, LATER
from advisor.rules import get
from advisor.types import Evidence, Finding

from .probing import probe

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forks")]

HOOKS = """
import torch
from torch import nn

net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 1))
optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
kept = {}

def keep(module, inputs, output):
    kept[module] = output.detach()

for step in range(1500):
    for layer in net:
        layer.register_forward_hook(keep)
    loss = net(torch.randn(8, 16)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
MEAN_OF_ALL = """
import torch
from torch import nn

net = nn.Linear(16, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
errors = []
for step in range(100_000):
    error = net(torch.randn(64, 16)).square()
    optimizer.zero_grad()
    error.mean().backward()
    optimizer.step()
    errors += error.detach().flatten().tolist()
    mean = sum(errors) / len(errors)
"""


def windows() -> list[wire.Window]:
    baseline = wire.WindowRole.BASELINE
    return [
        wire.Window(id=FIRST, role=wire.WindowRole.PROFILE, min_updates=60, min_s=1.0, max_s=4.0, sampler_hz=100.0),
        wire.Window(id="base 0", role=baseline, warm_up_updates=1, min_updates=60, min_s=0.6, max_s=4.0),
        wire.Window(id="trace", kind="trace", warm_up_updates=1, min_updates=2, max_updates=2, max_s=3.0),
        wire.Window(id="base 1", role=baseline, warm_up_updates=1, min_updates=60, min_s=0.6, max_s=4.0),
        wire.Window(id=LATER, warm_up_updates=0, min_updates=40, min_s=1.0, max_s=4.0, sampler_hz=100.0),
    ]


def evidence(tmp_path: Path, script: str) -> Evidence:
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").write_text(script)
    found = assembly.evidence_of(probe(["train.py"], cwd=project, folder=tmp_path, wanted=windows()).profile)
    assert found is not None
    return found


def test_hooks_that_are_never_removed_are_named_with_their_line(tmp_path: Path) -> None:
    found = evidence(tmp_path, HOOKS)
    assert found.growth is not None
    assert found.growth.hooks_per_update == 3.0
    finding = get("updates_grow").check(found)
    assert isinstance(finding, Finding), found.growth
    assert [(place.line, Path(place.file).name) for place in finding.where] == [(14, "train.py")]


def test_a_list_that_is_read_whole_is_named_with_its_line(tmp_path: Path) -> None:
    found = evidence(tmp_path, MEAN_OF_ALL)
    assert found.growth is not None
    assert (found.growth.hooks, found.growth.hooks_per_update) == ((0, 0), 0.0)
    assert found.growth.lines[0].line == 14
    assert found.growth.phases["other"] > 0.5
