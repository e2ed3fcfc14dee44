"""Hogwild: two spawned processes train shared parameters, the parent trains nothing."""
import torch
import torch.multiprocessing as mp
from torch import nn


def train(rank, model):
    torch.manual_seed(rank)
    torch.set_num_threads(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5)
    for _ in range(300):
        x = torch.randn(16, 10)
        loss = (model(x).squeeze(1) - x.sum(1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print("process", rank, loss.item())


if __name__ == "__main__":
    model = nn.Linear(10, 1)
    model.share_memory()
    mp.spawn(train, args=(model,), nprocs=2)
    print("test", (model(torch.ones(1, 10)) - 10).abs().item())
