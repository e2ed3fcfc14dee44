"""What a script computes, saves and copies is what it would be without the agent."""

from __future__ import annotations

from pathlib import Path

import forked
import pytest

from advisor import wire
from advisor.analysis.profile_plan import FIRST

from .probing import probe

pytestmark = pytest.mark.slow

UPDATES = 60
WINDOW = wire.Window(id=FIRST, warm_up_updates=0, min_updates=UPDATES, max_updates=UPDATES, max_s=60.0, sampler_hz=50.0)
OUTER = wire.Window(id="outer", min_updates=10**6, max_updates=10**6, max_s=60.0)
LIMIT_S = 120

TRAINING = """
import random, sys
import numpy, torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

class Noisy(torch.utils.data.Dataset):
    def __init__(self):
        self.x, self.y = torch.randn(400, 12), torch.randint(0, 3, (400,))
    def __len__(self):
        return 400
    def __getitem__(self, i):
        return self.x[i] + 0.1 * torch.randn(12), self.y[i]

def main():
    torch.set_num_threads(1)
    torch.manual_seed(3); random.seed(3); numpy.random.seed(3)
    model = nn.Sequential(nn.Linear(12, 32), nn.Dropout(0.1), nn.ReLU(), nn.Linear(32, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 10, 0.9)
    loader = DataLoader(Noisy(), batch_size=10, shuffle=True, num_workers=int(sys.argv[1]))
    losses = []
    for _epoch in range(3):
        for x, y in loader:
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            losses.append(sum(model(x).sum().item() for x, _ in loader))
        model.train()
    print(losses)
    print(torch.get_rng_state().sum(), random.random(), numpy.random.rand())
    print(sum(p.sum() for p in model.parameters()).item())

if __name__ == "__main__":
    main()
"""


def _plain(script: Path, *args: str) -> str:
    done = forked.run(script.parent, script.name, *args, limit_s=LIMIT_S)
    assert done.code == 0, done.err
    return done.out


def _probed(script: Path, folder: Path, *args: str, wanted: list[wire.Window]) -> str:
    folder.mkdir()
    probed = probe([script.name], args, cwd=script.parent, folder=folder, wanted=wanted)
    (script_run,) = probed.result.script_runs
    assert (script_run.end, probed.agent_errors) == ("finished", []), probed.profile.failure
    (log,) = (folder / "runs").glob("*/life-0*stdout*")
    return log.read_text(encoding="utf-8")


@pytest.mark.parametrize("workers", [0, 2])
def test_losses_weights_and_random_states_are_bit_identical(tmp_path: Path, workers: int) -> None:
    project = tmp_path / "project"
    project.mkdir()
    script = project / "train.py"
    script.write_text(TRAINING, encoding="utf-8")
    windows = [WINDOW, wire.Window(id="bare", kind="bare", min_updates=5, max_updates=5), OUTER]
    assert _probed(script, tmp_path / "run", str(workers), wanted=windows) == _plain(script, str(workers))


SAVING = '''
import copy, io, pickle, re, sys
import torch
from torch import nn

KIND = sys.argv[1]

class Own(nn.Module):
    """Pickles itself in its own way."""
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(6, 6)
    def forward(self, x):
        return self.inner(x)
    def __getstate__(self):
        return dict(self.__dict__)

torch.set_num_threads(1)
torch.manual_seed(0)
model = {"linear": lambda: nn.Linear(6, 6), "own": Own, "lstm": lambda: nn.LSTM(6, 6, batch_first=True),
         "nested": lambda: nn.Sequential(nn.Linear(6, 6), Own())}[KIND]()
optimizer = torch.optim.Adam(model.parameters())

def run(net, x):
    out = net(x)
    return out[0] if isinstance(out, tuple) else out

def pickled_size(what):
    """Without the addresses that torch writes as names of storages: their digits depend on where the heap lies."""
    return len(re.sub(rb"[0-9]{13,16}", b"", pickle.dumps(what)))

def tell():
    """All that can be seen of what is saved and copied."""
    parts = [sorted(model.__getstate__()), sorted(copy.deepcopy(model).__dict__)]
    parts.append(sorted(copy.copy(model).__dict__))
    parts.append(list(model.state_dict()))
    parts.append(pickled_size(model))
    buffer = io.BytesIO()
    torch.save(model, buffer)
    parts.append(len(buffer.getvalue()))
    buffer.seek(0)
    loaded = torch.load(buffer, weights_only=False)
    parts.append(sorted(loaded.__dict__))
    parts.append(run(loaded, torch.ones(2, 3, 6)).sum().item())
    parts.append(b"advisor" in pickle.dumps(model))
    other = copy.deepcopy(optimizer)
    parts.append([sorted(other.__dict__), sorted(other.state_dict()), type(other).__name__])
    parts.append(pickled_size(optimizer))
    if KIND != "lstm":
        traced = torch.jit.trace(model, torch.ones(2, 6))
        parts.append([str(traced.graph).count("\\n"), traced(torch.ones(2, 6)).sum().item()])
    return parts

import warnings
warnings.simplefilter("ignore")
for step in range(40):
    if step in (0, 1, 8, 20, 39):
        print(step, tell())
    loss = run(model, torch.randn(4, 3, 6)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
'''


@pytest.mark.parametrize("kind", ["linear", "own", "lstm", "nested"])
def test_saved_and_copied_objects_hold_nothing_of_ours(tmp_path: Path, kind: str) -> None:
    project = tmp_path / "project"
    project.mkdir()
    script = project / "train.py"
    script.write_text(SAVING, encoding="utf-8")
    windows = [
        wire.Window(id=FIRST, warm_up_updates=0, min_updates=5, max_updates=5),
        wire.Window(id="trace", kind="trace", warm_up_updates=0, min_updates=2, max_updates=2),
        wire.Window(id="bare", kind="bare", warm_up_updates=0, min_updates=3, max_updates=3),
        OUTER,
    ]
    assert _probed(script, tmp_path / "run", kind, wanted=windows) == _plain(script, kind)


def test_a_saved_model_is_the_same_file(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    script = project / "train.py"
    script.write_text(
        "import hashlib, io, torch\n"
        "from torch import nn\n"
        "torch.set_num_threads(1)\n"
        "torch.manual_seed(0)\n"
        "model = nn.Sequential(nn.Linear(6, 6), nn.LSTM(6, 6))\n"
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
        "for step in range(30):\n"
        "    loss = model(torch.randn(4, 3, 6))[0].square().mean()\n"
        "    optimizer.zero_grad()\n"
        "    loss.backward()\n"
        "    optimizer.step()\n"
        "    buffer = io.BytesIO()\n"
        "    torch.save([model, optimizer.state_dict()], buffer)\n"
        "    print(hashlib.sha256(buffer.getvalue()).hexdigest())\n",
        encoding="utf-8",
    )
    assert _probed(script, tmp_path / "run", wanted=[OUTER]) == _plain(script)


COMPILING = """
import sys, warnings
warnings.simplefilter("ignore")
import torch
from torch import nn

KIND = sys.argv[1]
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
net = model
if KIND == "module":
    net = torch.compile(model, backend="aot_eager")
elif KIND == "in_place":
    model.compile(backend="aot_eager")

def train(x, y):
    loss = nn.functional.cross_entropy(net(x), y)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()

if KIND == "step":
    train = torch.compile(train, backend="aot_eager")
elif KIND == "loss":
    forward = torch.compile(lambda x, y: nn.functional.cross_entropy(model(x), y), backend="aot_eager")
    def train(x, y):
        loss = forward(x, y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

from torch._dynamo.utils import counters

for step in range(60):
    loss = train(torch.randn(6, 8), torch.randint(0, 4, (6,)))
    if step == 30:
        compiled_by_then = dict(counters["frames"])
    if KIND == "late" and step == 20:
        model.compile(backend="aot_eager")
print(loss.item(), dict(counters["stats"]), dict(counters["frames"]) == compiled_by_then)
"""


@pytest.mark.parametrize("kind", ["module", "in_place", "step", "loss", "late"])
def test_compiled_code_is_the_same_and_is_not_compiled_again(tmp_path: Path, kind: str) -> None:
    project = tmp_path / "project"
    project.mkdir()
    script = project / "train.py"
    script.write_text(COMPILING, encoding="utf-8")
    windows = [
        wire.Window(id=FIRST, warm_up_updates=3, min_updates=5, max_updates=5),
        wire.Window(id="bare", kind="bare", warm_up_updates=0, min_updates=3, max_updates=3),
        wire.Window(id="again", warm_up_updates=0, min_updates=3, max_updates=3),
        wire.Window(id="bare 2", kind="bare", warm_up_updates=0, min_updates=3, max_updates=3),
        OUTER,
    ]
    assert _probed(script, tmp_path / "run", kind, wanted=windows) == _plain(script, kind)
