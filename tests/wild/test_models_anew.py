"""Models that a script creates again and again: each is followed, however many there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor import wire
from advisor.agent.loop.root_search import MAX_SEARCHES
from advisor.analysis.profile_plan import FIRST

from .probing import REST, probe

pytestmark = pytest.mark.slow

CLIENTS = MAX_SEARCHES + 8
UPDATES = 12
ALL = CLIENTS * UPDATES
START = 8
WINDOWS = [
    wire.Window(id=FIRST, warm_up_updates=2, min_updates=START, max_updates=START, max_s=6.0),
    wire.Window(id=REST, warm_up_updates=0, min_updates=ALL, max_updates=ALL, max_s=20.0),
]
HEAD = f"""
import copy
import torch
from torch import nn

torch.set_num_threads(1)
torch.manual_seed(0)

def network():
    return nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 4))

def train(model, optimizer):
    for _ in range({UPDATES}):
        loss = nn.functional.cross_entropy(model(torch.randn(64, 32)), torch.randint(4, (64,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

class Client:
    def __init__(self, start):
        self.network = copy.deepcopy(start)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1)

    def train(self):
        train(self.network, self.optimizer)

class Fold:
    def __init__(self):
        self.network = network()
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1)

    def train(self):
        for _ in range({UPDATES}):
            loss = nn.functional.cross_entropy(self.network(torch.randn(64, 32)), torch.randint(4, (64,)))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

shared = network()
"""
WAYS = {
    "copies of one model": f"for _ in range({CLIENTS}):\n    Client(shared).train()\n",
    "one for each fold": f"for _ in range({CLIENTS}):\n    Fold().train()\n",
}


@pytest.mark.parametrize("way", WAYS)
def test_the_forward_of_the_last_models_is_seen_as_that_of_the_first(tmp_path: Path, way: str) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").write_text(HEAD + WAYS[way], encoding="utf-8")
    probed = probe(["train.py"], (), cwd=project, folder=tmp_path / "run", wanted=WINDOWS)
    assert not probed.agent_errors
    rest = probed.window(REST)
    assert isinstance(rest, wire.WindowDone), rest
    forwards = rest.phases_s["forward"]
    assert len(forwards) > (CLIENTS - MAX_SEARCHES) * UPDATES
    # The first forward of each model comes before its optimizer's first step, which shows that it is trained.
    assert sum(seconds > 0 for seconds in forwards[-UPDATES * 4 :]) >= UPDATES * 4 - 4
