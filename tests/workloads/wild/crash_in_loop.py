"""A bad sample after 25 updates: an exception raised from another one."""
import torch
from torch import nn

model = nn.Linear(10, 3)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


def parse(record):
    try:
        return int(record)
    except ValueError as error:
        raise RuntimeError(f"record {record!r} has no label") from error


for step in range(300):
    label = parse(str(step % 3) if step < 25 else "cat")
    loss = nn.functional.cross_entropy(model(torch.randn(8, 10)), torch.full((8,), label))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
