"""OneCycleLR raises when it is stepped past its total."""
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

x = torch.randn(480, 12)
loader = DataLoader(TensorDataset(x, x[:, :3].argmax(1)), batch_size=16, shuffle=True)
model = nn.Linear(12, 3)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.5, epochs=10, steps_per_epoch=len(loader))
for epoch in range(10):
    for inputs, target in loader:
        loss = nn.functional.cross_entropy(model(inputs), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
print("finished one cycle", scheduler.get_last_lr())
