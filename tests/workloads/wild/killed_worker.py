"""A worker process is killed from outside (as the kernel does when memory runs out)."""
import os
import signal

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Memory(Dataset):
    def __len__(self):
        return 1000

    def __getitem__(self, i):
        if i == 300:
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.randn(10)


if __name__ == "__main__":
    model = nn.Linear(10, 10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x in DataLoader(Memory(), batch_size=10, num_workers=2):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
