"""Writes the learning rate into param_groups at every step (warm-up, then cosine)."""
import math

import torch
from torch import nn

steps, warm_up, peak = 300, 30, 0.1


def rate(step):
    if step < warm_up:
        return peak * (step + 1) / warm_up
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / (steps - warm_up)))


model = nn.Linear(12, 3)
optimizer = torch.optim.SGD(model.parameters(), lr=peak, momentum=0.9)
for step in range(steps):
    for group in optimizer.param_groups:
        group["lr"] = rate(step)
    x = torch.randn(16, 12)
    loss = nn.functional.cross_entropy(model(x), x[:, :3].argmax(1))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
