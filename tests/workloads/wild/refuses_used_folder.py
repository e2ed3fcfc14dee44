"""Refuses to start when its output folder is not empty, then fills it."""
import argparse
import os
import sys

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--output_dir", default="runs_output")
args = parser.parse_args()
if os.path.isdir(args.output_dir) and os.listdir(args.output_dir):
    sys.exit(f"Output directory ({args.output_dir}) already exists and is not empty.")
os.makedirs(args.output_dir, exist_ok=True)

model = nn.Linear(30, 3)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(300):
    x = torch.randn(24, 30)
    loss = nn.functional.cross_entropy(model(x), x[:, :3].argmax(1))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        torch.save(model.state_dict(), os.path.join(args.output_dir, f"step{step}.pt"))
