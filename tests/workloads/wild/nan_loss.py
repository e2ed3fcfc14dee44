"""The loss becomes NaN after some twenty steps, and nobody looks."""
import torch
from torch import nn

model = nn.Linear(10, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(300):
    x = torch.randn(16, 10)
    y = model(x)
    loss = (torch.log(y.square() * (1 if step < 20 else 0)) if step >= 20 else y.square()).mean()
    if step >= 20:
        loss = loss * 0
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(loss.item())
