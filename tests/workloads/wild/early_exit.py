"""Stops after eight updates with exit code 0 (`sys.exit()` in a callback)."""
import sys

import torch
from torch import nn

model = nn.Linear(10, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(300):
    optimizer.zero_grad()
    model(torch.randn(8, 10)).square().mean().backward()
    optimizer.step()
    if step == 7:
        print("good enough")
        sys.exit()
