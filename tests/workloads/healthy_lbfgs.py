"""Kernel machine fitted with L-BFGS on the full data set, double precision."""
import sys

import torch

ITERATIONS = int(sys.argv[1]) if len(sys.argv) > 1 else 5000

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)

x = torch.rand(1200, 3) * 6 - 3
y = torch.sin(x[:, :1]) * torch.cos(x[:, 1:2]) + 0.1 * x[:, 2:] + 0.01 * torch.randn(1200, 1)


class Kernel(torch.nn.Module):
    def __init__(self, centres=400):
        super().__init__()
        self.centres = torch.nn.Parameter(torch.rand(centres, 3) * 6 - 3)
        self.log_width = torch.nn.Parameter(torch.zeros(centres))
        self.weights = torch.nn.Parameter(torch.randn(centres, 1) * 0.01)

    def forward(self, x):
        square = (x * x).sum(1, keepdim=True) + (self.centres * self.centres).sum(1) - 2 * x @ self.centres.T
        return torch.exp(-square * torch.exp(-self.log_width)) @ self.weights


model = Kernel()
optimizer = torch.optim.LBFGS(model.parameters(), lr=0.05, max_iter=4, history_size=10)


def closure():
    optimizer.zero_grad()
    loss = torch.mean((model(x) - y) ** 2) + 1e-6 * model.weights.pow(2).sum()
    loss.backward()
    return loss


for i in range(ITERATIONS):
    loss = optimizer.step(closure)
    if i % 25 == 0:
        print(f"{i:5d} {loss.item():.6e}", flush=True)
