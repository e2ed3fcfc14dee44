"""A training that prints as much as asked for in its first updates: with line ends, and as a progress bar does."""

import argparse
import sys

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--mib", type=int, required=True, help="in all, half of it to each stream")
args = parser.parse_args()
UPDATES = 512

model = nn.Linear(64, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
line = "step " + "x" * 120 + "\n"
text = line * (args.mib * 2**20 // (2 * UPDATES * len(line)))
for step in range(1_000_000):
    optimizer.zero_grad()
    model(torch.randn(32, 64)).square().mean().backward()
    optimizer.step()
    if step < UPDATES:
        sys.stdout.write(text)
        sys.stderr.write(text.replace("\n", "\r"))
    if step == UPDATES:
        print("\nprinted", args.mib, "MiB", flush=True)
