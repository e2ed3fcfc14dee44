"""Calls model.forward(...) directly, which skips the module's hooks."""
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Regressor(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 40), nn.Tanh(), nn.Linear(40, 1))

    def forward(self, x):
        return self.net.forward(x).squeeze(1)


x = torch.randn(1600, 6)
loader = DataLoader(TensorDataset(x, x.sin().sum(1)), batch_size=16, shuffle=True)
model = Regressor()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for epoch in range(3):
    for inputs, target in loader:
        loss = (model.forward(inputs) - target).pow(2).mean()
        model.zero_grad()
        loss.backward()
        optimizer.step()
    print(epoch, loss.item())
