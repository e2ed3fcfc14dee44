"""After 20 updates it waits for a lock that nobody releases."""
import threading

import torch
from torch import nn

model = nn.Linear(10, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
lock = threading.Lock()
lock.acquire()
for step in range(300):
    optimizer.zero_grad()
    model(torch.randn(8, 10)).square().mean().backward()
    optimizer.step()
    if step >= 19:
        lock.acquire()
