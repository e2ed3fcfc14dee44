"""Prints a great deal, to both streams, without line ends now and then."""
import argparse
import sys

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--mib", type=int, default=64)
args = parser.parse_args()
model = nn.Linear(10, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
chunk = "x" * (args.mib * 2**20 // 600)
for step in range(300):
    optimizer.zero_grad()
    loss = model(torch.randn(8, 10)).square().mean()
    loss.backward()
    optimizer.step()
    sys.stdout.write(f"step {step} {chunk}" + ("\n" if step % 3 else ""))
    sys.stderr.write(f"loss {loss.item()} {chunk}\r")
sys.stdout.write("\nthe last line\n")
