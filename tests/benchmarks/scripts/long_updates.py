"""Updates of a given length that wait for their data for a part of it and compute for the rest; both are pauses."""

import argparse
import time

import torch
from torch.utils.data import DataLoader, Dataset

parser = argparse.ArgumentParser()
parser.add_argument("--update", type=float, required=True, help="seconds")
parser.add_argument("--wait", type=float, required=True, help="part of them that passes in reading samples")
options = parser.parse_args()
BATCH = 4


class Remote(Dataset):
    def __len__(self):
        return 100_000

    def __getitem__(self, index):
        time.sleep(options.wait * options.update / BATCH)
        return torch.randn(16), torch.tensor(float(index % 2))


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(16, 1)

    def forward(self, features):
        time.sleep((1 - options.wait) * options.update)
        return self.head(features).squeeze(1)


net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
loss_of = torch.nn.BCEWithLogitsLoss()
while True:
    for features, targets in DataLoader(Remote(), batch_size=BATCH, shuffle=True):
        optimizer.zero_grad()
        loss_of(net(features), targets).backward()
        optimizer.step()
