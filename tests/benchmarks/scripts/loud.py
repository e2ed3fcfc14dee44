"""A training that prints as much as asked for, in long lines and short ones."""

import argparse
import sys

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--mib", type=int, required=True, help="printed in all, half of it to each stream")
parser.add_argument("--updates", type=int, default=1024)
args = parser.parse_args()

model = nn.Linear(64, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
share = args.mib * 2**20 // (2 * args.updates)
line = ("step " + "x" * 120 + "\n") * (share // 126)
for step in range(args.updates):
    optimizer.zero_grad()
    model(torch.randn(32, 64)).square().mean().backward()
    optimizer.step()
    sys.stdout.write(line)
    sys.stderr.write(line.replace("\n", "\r"))
print("\nprinted", args.mib, "MiB")
