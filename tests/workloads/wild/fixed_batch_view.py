"""Its code cannot take another batch size: a view() with the number written out."""
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BATCH = 20
x = torch.randn(2000, 6, 5)
loader = DataLoader(TensorDataset(x), batch_size=BATCH, shuffle=True, drop_last=True)
model = nn.Linear(30, 30)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(3):
    for (batch,) in loader:
        flat = batch.view(20, 30)
        optimizer.zero_grad()
        (model(flat) - flat).square().mean().backward()
        optimizer.step()
