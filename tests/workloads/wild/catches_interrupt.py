"""Ctrl-C means "enough training, go on with the best checkpoint": stopping must not look like one."""
import os
import tempfile

import torch
from torch import nn

folder = tempfile.mkdtemp()
best = os.path.join(folder, "model.pt")
model = nn.LSTM(8, 16, batch_first=True)
head = nn.Linear(16, 1)
parameters = [*model.parameters(), *head.parameters()]
opt = torch.optim.SGD(parameters, lr=0.05)
try:
    for epoch in range(30):
        for _ in range(10):
            x = torch.randn(20, 12, 8)
            loss = (head(model(x)[0][:, -1]) - x.mean((1, 2))[:, None]).square().mean()
            opt.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 0.25)
            opt.step()
        torch.save(model, best)
except KeyboardInterrupt:
    print("-" * 40)
    print("Exiting from training early")
    open("interrupted", "w").close()

model = torch.load(best, weights_only=False)
print("loaded the best model", sum(p.numel() for p in model.parameters()))
