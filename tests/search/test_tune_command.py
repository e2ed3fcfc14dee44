"""`advisor tune` on a real script, through a real process: what is written, and what is left alone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import forked
import pytest

from advisor.settings_file import loaded

pytestmark = pytest.mark.slow

LIMIT_S = 280
SCRIPT = """
import time
import torch
from torch.utils.data import DataLoader, Dataset

class Remote(Dataset):
    def __len__(self):
        return 4096
    def __getitem__(self, index):
        time.sleep(0.004)
        return torch.randn(16), index % 4

if __name__ == "__main__":
    model = torch.nn.Linear(16, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for batch, target in DataLoader(Remote(), batch_size=8):
        loss = torch.nn.functional.cross_entropy(model(batch), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    open("trained.txt", "w").write("the whole epoch")
"""


def tune(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "elsewhere").mkdir(exist_ok=True)
    (folder / "train.py").write_text(SCRIPT)
    words = ("tune", "--runs", folder / "runs", *options, "../train.py")
    return forked.advisor(folder / "elsewhere", *words, limit_s=LIMIT_S, thin=True, forks=True)


def test_a_search_from_another_folder_writes_its_answer_there_and_nothing_else(tmp_path: Path) -> None:
    done = tune(tmp_path, "--budget", "12s", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["trials"][0]["config"] == {}
    assert loaded.load(tmp_path / "elsewhere" / "advisor.yaml").settings == answer["config"]
    assert sorted(path.name for path in tmp_path.rglob("*.txt")) == []


def test_a_file_that_is_there_is_refused_before_anything_is_run(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "advisor.yaml").write_text("mine")
    done = tune(tmp_path)
    assert (done.returncode, (tmp_path / "runs").exists()) == (2, False)
    assert "-f" in done.stderr


@pytest.mark.parametrize("budget", ["soon", "-3s", "1s", "10 parsecs"])
def test_a_budget_that_is_no_time_is_refused(tmp_path: Path, budget: str) -> None:
    done = tune(tmp_path, "--budget", budget)
    assert done.returncode == 2
    assert "budget" in done.stderr
