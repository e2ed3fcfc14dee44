"""The sampler says it is 10,000,000,000 long; nobody may build its list of indices or wait for its end."""
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler


class Infinite(Sampler):
    def __init__(self, size):
        self.size = size

    def __len__(self):
        return int(1e10)

    def __iter__(self):
        while True:
            yield from torch.randperm(self.size).tolist()


class Points(Dataset):
    def __len__(self):
        return 1000

    def __getitem__(self, i):
        return torch.full((4,), i / 1000)


points = Points()
loader = DataLoader(points, batch_size=25, sampler=Infinite(len(points)))
model = nn.Linear(4, 4)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step, batch in enumerate(loader):
    optimizer.zero_grad()
    (model(batch) - batch).square().mean().backward()
    optimizer.step()
    if step + 1 == 300:
        break
