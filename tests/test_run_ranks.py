"""`advisor run` with torchrun: the settings hold on every rank, and nothing is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import forked
import pytest
from runtime.rank_scripts import training

LIMIT_S = 120
SETTINGS = "version: 1\nsettings: {threads: 2, fused_optimizer: fused}\n"
SAID = (
    "sys.stdout.write(f'{rank}: {torch.get_num_threads()} {optimizer.param_groups[0][\"fused\"]}\\n') "
    "if step == 5 else 0"
)
"""A line by one call: the ranks share a pipe."""
LEAVES = "; sys.exit(3) if step == 6 and rank == 1 else 0"


@pytest.mark.slow(6)
@pytest.mark.parametrize("fails", [False, True])
def test_settings_on_every_rank(tmp_path: Path, fails: bool) -> None:
    (tmp_path / "advisor.yaml").write_text(SETTINGS)
    line = training(tmp_path, updates="8", each=SAID + (LEAVES if fails else ""))
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    words = ("run", "--config", "advisor.yaml", "torchrun", *line)
    if fails:
        done = forked.advisor(tmp_path, *words, limit_s=LIMIT_S, environment=environment)
    else:  # torch is imported by each rank, under the agent's eyes
        argv = [sys.executable, "-m", "advisor", *words]
        done = subprocess.run(
            argv, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    assert sorted(done.stdout.split("\n")) == ["", "0: 2 True", "1: 2 True"]
    assert done.returncode == (1 if fails else 0), done.stderr
    assert not list(temporary.glob("advisor-run-*"))


STARTS_ITS_OWN = """
import os, subprocess, sys, torch, torch.distributed as dist
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset
rank = int(os.environ.get("RANK", "0"))
if not rank:  # as Lightning starts the ranks of `devices=2`
    meeting = os.path.abspath("meeting")
    os.environ.update(WORLD_SIZE="2", RANK="0")
    other = subprocess.Popen([sys.executable, __file__, meeting], env={**os.environ, "RANK": "1"})
else:
    meeting = sys.argv[1]
dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
data = TensorDataset(torch.randn(64, 4))
updates = 0
for epoch in range(3):
    for (x,) in DataLoader(data, 4, sampler=DistributedSampler(data)):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
        updates += 1
if not rank:
    other.wait()
    print(updates)
"""


@pytest.mark.slow(10)
@pytest.mark.parametrize("setting", ["global_batch=16", "micro_batch=2"])
def test_batches_stay_where_the_script_starts_its_other_ranks_by_itself(setting: str, tmp_path: Path) -> None:
    """They have no agent: this rank would have fewer updates than they, who would wait for it."""
    (tmp_path / "train.py").write_text(STARTS_ITS_OWN)
    environment = {name: value for name, value in os.environ.items() if name not in ("WORLD_SIZE", "RANK")}
    words = ("run", "--set", setting, "train.py")
    done = forked.advisor(tmp_path, *words, limit_s=LIMIT_S, environment=environment)
    assert (done.returncode, done.stdout) == (0, "24\n"), done.stderr
    assert "keeps the script's value: the script has started its 2 ranks by itself" in done.stderr
