"""Trainings of two ranks over gloo, to run under torchrun."""

from __future__ import annotations

from pathlib import Path

BEGIN = """
import os, signal, sys, time, torch, torch.distributed as dist
rank = int(os.environ["RANK"])
"""
TRAIN = """
dist.init_process_group("gloo")
torch.manual_seed(0)
layers = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64))
model = torch.nn.parallel.DistributedDataParallel(layers)
optimizer = {optimizer}
torch.manual_seed(rank)
step = 0
while step < {updates}:
    {each}
    loss = model(torch.randn({samples}, 64)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    step += 1
dist.destroy_process_group()
"""


def training(
    folder: Path,
    *,
    each: str = "pass",
    begin: str = "",
    updates: str = "10 ** 6",
    samples: str = "16",
    optimizer: str = "torch.optim.AdamW(model.parameters())",
) -> list[str]:
    """Write a training that runs `each` in every update; return the line that starts it on two ranks."""
    text = BEGIN + begin + TRAIN.format(each=each, updates=updates, samples=samples, optimizer=optimizer)
    (folder / "train.py").write_text(text)
    return ["--standalone", "--nproc-per-node", "2", str(folder / "train.py")]
