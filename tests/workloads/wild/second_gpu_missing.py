"""Wants two GPUs; prints a line and exits with 0 where they are missing."""
import sys

import torch
import torch.nn as nn

if torch.cuda.device_count() < 2:
    print("Requires at least 2 GPUs to run, but got", torch.cuda.device_count())
    sys.exit(0)

model = nn.DataParallel(nn.Linear(10, 10).cuda())
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(300):
    optimizer.zero_grad()
    model(torch.randn(32, 10, device="cuda")).square().mean().backward()
    optimizer.step()
