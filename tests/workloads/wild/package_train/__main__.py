"""Started as `python -m package_train`; its imports are relative."""
import argparse

import torch

from .model import Net

parser = argparse.ArgumentParser(prog="package_train")
parser.add_argument("--steps", type=int, default=300)
args = parser.parse_args()
net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
for _ in range(args.steps):
    x = torch.randn(16, 8)
    loss = (net(x).squeeze(1) - x.mean(1)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"loss {loss.item():.4f}")
