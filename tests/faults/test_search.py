"""A search meets scripts that bear some settings and not others: what breaks costs its trial, never the search."""

from __future__ import annotations

from pathlib import Path

import pytest
from search.thin import make_thin

import advisor
from advisor.types import Trial

pytestmark = [pytest.mark.slow(8), pytest.mark.usefixtures("forks")]

SCRIPT = """\
import resource, time
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.set_num_threads(1)
torch.manual_seed(0)
data = TensorDataset(torch.randn(4096, 16), torch.randn(4096, 1))
model = nn.Linear(16, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

def too_large(features, loss):
    {too_large}
    return loss

for epoch in range(10_000):
    for features, targets in DataLoader(data, batch_size=16, shuffle=True):
        loss = nn.functional.mse_loss(model(features), targets)
        if len(features) > 16:
            loss = too_large(features, loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        time.sleep(0.002)
"""
REAL_CAP = """\
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, resource.RLIM_INFINITY))
    torch.ones(2**28)"""
BREAKS = {"oom": REAL_CAP, "nan": "loss = loss * float('nan')"}
"""What hangs and what crashes is in `tests/search/test_real.py`, with the same script for both."""


def searched(folder: Path, too_large: str) -> dict[str, Trial]:
    """What a short search over batch size and threads says, by what was tried."""
    (folder / "train.py").write_text(SCRIPT.format(too_large=too_large))
    found = advisor.tune(
        folder / "train.py",
        budget=120,
        knobs=["global_batch", "threads"],
        verify=False,
        isolation="none",
        runs=folder / "runs",
    )
    return {", ".join(f"{name}={value}" for name, value in trial.config.settings): trial for trial in found.trials}


@pytest.mark.parametrize("kind", BREAKS)
def test_what_a_script_cannot_bear_costs_its_trial_only(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_thin(monkeypatch.setattr)
    trials = searched(tmp_path, BREAKS[kind])
    broken = [trial for name, trial in trials.items() if "global_batch" in name]
    assert broken
    assert broken[0].outcome.kind == kind
    assert broken[0].ratio is None
    # Once the memory is known to be too small, or a knob to break the script, what is larger is not even begun.
    assert {trial.outcome.kind for trial in broken} <= {kind, "refused", "stopped"}
    borne = [trial for name, trial in trials.items() if name.startswith("threads")]
    assert any(trial.ratio is not None for trial in borne)
