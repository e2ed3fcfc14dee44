"""A search that is killed with SIGKILL, and goes on: real processes, a real script."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import forked
import psutil
import pytest

from advisor.search import trial_log

from .thin import COMMAND

pytestmark = pytest.mark.slow(30)

LIMIT_S = 240
SCRIPT = """
import time
import torch
from torch.utils.data import DataLoader, Dataset

class Remote(Dataset):
    def __len__(self):
        return 100_000
    def __getitem__(self, index):
        time.sleep(0.002)
        return torch.randn(16), index % 4

if __name__ == "__main__":
    torch.set_num_threads(1)
    model = torch.nn.Linear(16, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _epoch in range(10**6):
        for batch, target in DataLoader(Remote(), batch_size=8):
            loss = torch.nn.functional.cross_entropy(model(batch), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
"""


def words(*options: str) -> list[str]:
    return ["tune", "--runs", "runs", "-f", "--no-verify", "--knobs", "num_workers,threads", *options, "train.py"]


def tune(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return forked.advisor(folder, *words(*options), limit_s=LIMIT_S, thin=True, forks=True)


def trials_in(folder: Path) -> int:
    try:
        return len(trial_log.read(folder).trials)
    except Exception:
        return 0


def killed_after(folder: Path, count: int) -> Path:
    """A search that is ended with SIGKILL once so many trials are in its log; returns its run's folder."""
    process = subprocess.Popen(
        [*COMMAND, *words("--budget", "120s")], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline_s = time.monotonic() + LIMIT_S
    try:
        while time.monotonic() < deadline_s:
            runs = [path for path in (folder / "runs").glob("*-train-*") if trials_in(path) >= count]
            if runs:
                children = psutil.Process(process.pid).children(recursive=True)
                os.kill(process.pid, signal.SIGKILL)
                process.wait(LIMIT_S)
                _gone, alive = psutil.wait_procs(children, timeout=20)
                assert alive == []
                return runs[0]
            assert process.poll() is None, "it ended by itself"
            time.sleep(0.05)
        raise AssertionError("no trials came")
    finally:
        if process.poll() is None:
            process.kill()


def test_kill_9_loses_no_finished_trial_and_none_is_run_again(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    run = killed_after(tmp_path, 2)
    before = trial_log.read(run).trials

    other = tune(tmp_path, "--resume", run.name, "--objective", "memory")
    assert (other.returncode, "was started with objective" in other.stderr) == (2, True), other.stderr

    done = tune(tmp_path, "--resume", run.name, "--budget", "120s", "--json")
    assert done.returncode == 0, done.stderr
    after = trial_log.read(run).trials
    assert after[: len(before)] == before
    assert len({trial.config for trial in after}) == len(after)
    assert len(json.loads(done.stdout)["trials"]) == len(after)
    assert len(list(run.glob("resumed-*"))) == 1
