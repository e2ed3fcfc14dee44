"""A callback on every step; at iteration 0 (and every 100) it runs over a second loader."""
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def dataset(n):
    x = torch.randn(n, 20)
    return TensorDataset(x, (x[:, 0] * x[:, 1] > 0).long())


train_loader = DataLoader(dataset(4800), batch_size=16, shuffle=True)
test_loader = DataLoader(dataset(500), batch_size=50)
model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)


def on_step(iteration):
    if iteration % 100 == 0:
        model.eval()
        with torch.inference_mode():
            hits = sum((model(x).argmax(1) == y).sum().item() for x, y in test_loader)
        model.train()
        print("iteration", iteration, "accuracy", hits / 500)


for iteration, (x, y) in enumerate(train_loader):
    on_step(iteration)
    loss = nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
