# Settings are globals, overridden by exec() of a file given relative to the working directory.
import sys

import torch
from torch import nn

steps = 50
batch_size = 8
width = 16
exec(open("overrides.txt").read())
for arg in sys.argv[1:]:
    key, value = arg.lstrip("-").split("=")
    globals()[key] = type(globals()[key])(value)

model = nn.Sequential(nn.Linear(10, width), nn.ReLU(), nn.Linear(width, 1))
opt = torch.optim.SGD(model.parameters(), lr=0.01)
for step in range(steps):
    x = torch.randn(batch_size, 10)
    loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
print("done", steps, batch_size)
