"""Counts the operations of a copy on the meta device before training."""
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def build():
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 64, 10))


with torch.device("meta"):
    sketch = build()
    with FlopCounterMode(display=False) as counter:
        sketch(torch.randn(16, 3, 8, 8)).sum().backward()
print("FLOPs of a step:", counter.get_total_flops())

model = build()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
for _ in range(300):
    x, y = torch.randn(16, 3, 8, 8), torch.randint(0, 10, (16,))
    loss = nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
