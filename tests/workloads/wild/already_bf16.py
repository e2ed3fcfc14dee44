"""Autocast to bf16 and channels_last are on already."""
import torch
from torch import nn

model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))
model = model.to(memory_format=torch.channels_last)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, fused=True)
for _ in range(300):
    x = torch.randn(16, 3, 12, 12).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = nn.functional.cross_entropy(model(x), torch.randint(0, 4, (16,)))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
