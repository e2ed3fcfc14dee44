"""A loop with a loader whose updates take as long as asked for; says on stdout when the first of them has ended."""

import argparse
import time

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--update", type=float, required=True, help="seconds")
args = parser.parse_args()


class Busy(nn.Module):
    """Works for a given time in its forward, whatever the machine's speed."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 64)
        self.head = nn.Linear(64, 1)

    def forward(self, features):
        until = time.perf_counter() + args.update
        hidden = self.layer(features)
        while time.perf_counter() < until:
            hidden = torch.tanh(hidden.detach() @ self.layer.weight)
        return self.head(self.layer(features) + hidden.detach())


model = Busy()
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
loader = DataLoader(TensorDataset(torch.randn(4096, 64), torch.randn(4096, 1)), batch_size=16, shuffle=True)
first = True
for _epoch in range(1000):
    for features, targets in loader:
        optimizer.zero_grad()
        nn.functional.mse_loss(model(features), targets).backward()
        optimizer.step()
        if first:
            print(f"first update {time.time()}", flush=True)
            first = False
