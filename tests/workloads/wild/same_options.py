"""Its options have the names that tools have: they belong to the script."""
import argparse
import json

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--json", action="store_true")
parser.add_argument("--out", default=None)
parser.add_argument("--html", default=None)
parser.add_argument("--config", default=None)
parser.add_argument("--budget", type=float, default=0.0)
parser.add_argument("--profile", action="store_true")
parser.add_argument("--version", type=int, default=1)
parser.add_argument("-v", dest="verbose", action="count", default=0)
parser.add_argument("rest", nargs="*")
args = parser.parse_args()

model = nn.Linear(5, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
for _ in range(300):
    x = torch.randn(16, 5)
    loss = (model(x) - 1).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(json.dumps(vars(args)))
