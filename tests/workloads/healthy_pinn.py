"""Physics-informed network for the 1-D Burgers equation (second derivatives, double precision)."""
import argparse
import math

import torch
from torch import nn
from torch.autograd import grad


class Net(nn.Module):
    def __init__(self, width, depth):
        super().__init__()
        dims = [2] + [width] * depth + [1]
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in zip(dims[:-1], dims[1:]))

    def forward(self, x, t):
        h = torch.cat([x, t], 1)
        for linear in self.linears[:-1]:
            h = torch.tanh(linear(h))
        return self.linears[-1](h)


def residual(net, x, t, nu=0.01 / math.pi):
    u = net(x, t)
    u_t, u_x = grad(u.sum(), (t, x), create_graph=True)
    (u_xx,) = grad(u_x.sum(), x, create_graph=True)
    return u_t + u * u_x - nu * u_xx


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--points", type=int, default=2000)
    ap.add_argument("--width", type=int, default=96)
    ap.add_argument("--depth", type=int, default=4)
    ap.add_argument("--iterations", type=int, default=5000)
    args = ap.parse_args()
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    net = Net(args.width, args.depth)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    x0 = torch.rand(400, 1) * 2 - 1
    u0 = -torch.sin(math.pi * x0)
    for i in range(args.iterations):
        x = (torch.rand(args.points, 1) * 2 - 1).requires_grad_()
        t = torch.rand(args.points, 1).requires_grad_()
        inside = residual(net, x, t).square().mean()
        start = (net(x0, torch.zeros_like(x0)) - u0).square().mean()
        loss = inside + start
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if i % 50 == 0:
            print(f"{i}: residual {inside.item():.2e} start {start.item():.2e}", flush=True)


if __name__ == "__main__":
    main()
