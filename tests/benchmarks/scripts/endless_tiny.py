"""A tiny training of as many updates as the first argument says; the second is where its resident memory goes, as one
line of bytes for each fiftieth of them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

updates, out = int(sys.argv[1]), Path(sys.argv[2])
POINTS = 50


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


torch.manual_seed(0)
model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
loader = DataLoader(TensorDataset(torch.randn(4096, 4), torch.randn(4096, 1)), batch_size=4)
done, lines = 0, []
while done < updates:
    for features, target in loader:
        optimizer.zero_grad()
        nn.functional.mse_loss(model(features), target).backward()
        optimizer.step()
        done += 1
        if done % (updates // POINTS) == 0:
            lines.append(str(resident_bytes()))
        if done >= updates:
            break
out.write_text("\n".join(lines))
