"""One rank under a launcher, which is all that a machine with one device allows: it trains, and nobody is blamed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from advisor import api

pytestmark = pytest.mark.usefixtures("thin", "rank_forks")

SCRIPT = """
import sys, torch, torch.distributed as dist
from torch import nn
device, form = sys.argv[1:]
dist.init_process_group("nccl" if device == "cuda" else "gloo")
torch.manual_seed(0)
blocks = [nn.Sequential(nn.Linear(256, 1024), nn.GELU(), nn.Linear(1024, 256)) for _ in range(4)]
model = nn.Sequential(*blocks).to(device)
if form == "ddp":
    model = nn.parallel.DistributedDataParallel(model)
else:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    mesh = init_device_mesh(device, (1,))
    for block in blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
optimizer = torch.optim.AdamW(model.parameters())
while True:
    loss = model(torch.randn(64, 256, device=device)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
OF_SEVERAL = {"bucket_too_small", "communication_bound", "data_imbalance", "ranks_apart", "straggler", "wrong_backend"}
"""Rules about ranks that wait for each other."""
ON_A_GPU = (pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"))


@pytest.mark.slow(12)
@pytest.mark.parametrize("form", ["ddp", "fsdp2"])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=ON_A_GPU)])
def test_one_rank_is_profiled_as_a_training_that_waits_for_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, form: str
) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    line = ["--standalone", "--nproc-per-node", "1", "train.py", device, form]
    found = api.profile("torchrun", line, budget=6, runs="runs", isolation="none")
    assert found.failure is None
    assert found.steps is not None
    assert found.steps.updates >= 5
    assert found.phases["forward"] > 0
    assert found.phases["backward"] > 0
    assert OF_SEVERAL.isdisjoint(finding.rule for finding in found.findings)
