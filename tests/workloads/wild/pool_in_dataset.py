"""The dataset owns a pool of processes and hands it the samples of a whole batch."""
import multiprocessing

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


def simulate(seed):
    state = seed * 7919 % 10007
    values = []
    for _ in range(16):
        state = (state * 75 + 74) % 65537
        values.append(state / 65537)
    return values


class Simulations(Dataset):
    def __init__(self, pool):
        self.pool = pool

    def __len__(self):
        return 2400

    def __getitems__(self, indices):
        return [torch.tensor(v) for v in self.pool.map(simulate, indices)]


if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(2) as pool:
        model = nn.Linear(15, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for batch in DataLoader(Simulations(pool), batch_size=16, shuffle=True):
            loss = (model(batch[:, :-1]) - batch[:, -1:]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
