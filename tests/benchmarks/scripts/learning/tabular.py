"""A table that is made here (a smooth target of 12 of its 20 columns, with noise), dense layers, SGD with momentum."""

import argparse
import math

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.03)
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

maker = torch.Generator().manual_seed(3)
table = torch.randn(4096, 20, generator=maker)
table[:, 12:16] = (table[:, 12:16] > 0).float()
weights = torch.randn(3, 12, generator=maker) / math.sqrt(12)
hidden = table[:, :12] @ weights.T
target = torch.sin(2 * hidden[:, 0]) + hidden[:, 1] * table[:, 12] + hidden[:, 2].abs()
target = target + 0.1 * torch.randn(len(table), generator=maker)

torch.manual_seed(args.seed)
torch.set_num_threads(1)
train = DataLoader(TensorDataset(table[:3072], target[:3072]), batch_size=64, shuffle=True, drop_last=True)
model = nn.Sequential(nn.Linear(20, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 1), nn.Flatten(0))
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
criterion = nn.MSELoss()
for epoch in range(args.epochs):
    for columns, values in train:
        optimizer.zero_grad()
        criterion(model(columns), values).backward()
        optimizer.step()
    model.eval()
    with torch.inference_mode():
        loss = criterion(model(table[3072:]), target[3072:]).item()
    model.train()
    print(f"epoch {epoch}: {loss:.4f}", flush=True)
