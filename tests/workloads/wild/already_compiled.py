"""torch.compile is on already (a light backend, so that no compiler is needed)."""
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(32, 64), nn.Linear(64, 32)

    def forward(self, x):
        return x + self.b(torch.nn.functional.gelu(self.a(x)))


model = torch.compile(nn.Sequential(Block(), Block(), nn.Linear(32, 1)), backend="aot_eager")
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for _ in range(300):
    x = torch.randn(16, 32)
    loss = (model(x).squeeze(1) - x.mean(1)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
