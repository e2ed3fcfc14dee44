"""Gradient penalty: autograd.grad with create_graph inside the step, then backward through it."""
import torch
from torch import nn

critic = nn.Sequential(nn.Linear(16, 64), nn.Softplus(), nn.Linear(64, 1))
optimizer = torch.optim.Adam(critic.parameters(), lr=1e-4)
for _ in range(300):
    real, fake = torch.randn(24, 16), torch.randn(24, 16) + 1
    mix = torch.rand(24, 1)
    between = (mix * real + (1 - mix) * fake).requires_grad_(True)
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty = (slope.norm(dim=1) - 1).square().mean()
    loss = critic(fake).mean() - critic(real).mean() + 10 * penalty
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
