"""A profile that tries the settings of its findings, on real scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

import advisor
from advisor import api
from advisor.types import Profile

pytestmark = [pytest.mark.slow(16), pytest.mark.usefixtures("forks", "thin")]

WAITS = """
import time
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

class Share(Dataset):
    def __len__(self):
        return 20_000

    def __getitem__(self, index):
        time.sleep(0.004)
        return torch.full((16,), float(index % 7)), float(index % 7)

class Trainer:
    def __init__(self):
        self.net = nn.Linear(16, 1)
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=1e-4)
        self.loader = DataLoader(Share(), batch_size=8, shuffle=True)

    def fit(self):
        for inputs, targets in self.loader:
            loss = (self.net(inputs).squeeze(1) - targets.float()).square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

if __name__ == "__main__":
    for _epoch in range(50):
        Trainer().fit()
"""
BREAKS = """
import torch

THREADS = torch.get_num_threads()

def train(model, optimizer):
    for _step in range(1_000_000):
        if torch.get_num_threads() != THREADS:
            raise RuntimeError("the threads changed")
        loss = model(torch.randn(256, 128)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

model = torch.nn.Sequential(torch.nn.Linear(128, 512), torch.nn.ReLU(), torch.nn.Linear(512, 1))
train(model, torch.optim.Adam(model.parameters()))
"""


def profiled(folder: Path, text: str, budget_s: float) -> Profile:
    script = folder / "train.py"
    script.write_text(text)
    return advisor.profile(str(script), runs=str(folder / "runs"), budget=budget_s)


def test_workers_are_tried_where_the_loop_waits_for_its_data(tmp_path: Path) -> None:
    found = profiled(tmp_path, WAITS, 12.0)
    fix = next(fix for fix in found.fixes if fix.knob == "num_workers")
    first = found.findings[0]
    assert (found.failure, fix.low > 1.5) == (None, True)
    assert first.rule in ("input_bound", "input_io_bound")
    assert first.fix is not None
    assert first.fix.setting in first.evidence
    assert found.what_ifs  # the settings took no window of these
    assert api.load_profile(found.run_folder).fixes == found.fixes


def test_a_setting_that_breaks_the_script_spoils_no_profile(tmp_path: Path) -> None:
    found = profiled(tmp_path, BREAKS, 15.0)  # so long that a busy machine has time for the threads, too
    assert found.failure is None
    assert found.steps is not None
    assert "threads" not in [fix.knob for fix in found.fixes]
    assert any("the threads changed" in note and "threads=" in note for note in found.notes)
