"""A generator that cycles the loader for ever; training is counted in steps."""
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def cycle(loader):
    while True:
        for batch in loader:
            yield batch


data = TensorDataset(torch.randn(100, 3, 8, 8))
stream = cycle(DataLoader(data, batch_size=16, shuffle=True, drop_last=True, num_workers=0))
model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.SiLU(), nn.Conv2d(16, 3, 3, padding=1))
opt = torch.optim.Adam(model.parameters(), lr=8e-5)
for step in range(150):
    total_loss = 0.0
    for _ in range(2):
        (x,) = next(stream)
        loss = (model(x + 0.1 * torch.randn_like(x)) - x).abs().mean() / 2
        total_loss += loss.item()
        loss.backward()
    opt.step()
    opt.zero_grad()
