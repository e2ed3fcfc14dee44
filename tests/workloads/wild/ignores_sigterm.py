"""Ignores SIGTERM and SIGINT ("must not be stopped while it writes")."""
import signal
import time

import torch
from torch import nn

signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
model = nn.Linear(10, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(30_000):
    optimizer.zero_grad()
    model(torch.randn(8, 10)).square().mean().backward()
    optimizer.step()
    time.sleep(0.002)
