"""Adversarial domain adaptation: two optimizers, each stepped once an iteration."""
import torch
from torch import nn

features = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 32))
critic = nn.Linear(32, 1)
opt_features = torch.optim.Adam(features.parameters(), lr=1e-3)
opt_critic = torch.optim.Adam(critic.parameters(), lr=1e-3)
bce = nn.functional.binary_cross_entropy_with_logits
labels = torch.cat([torch.zeros(16), torch.ones(16)])
for it in range(300):
    x = torch.cat([torch.randn(16, 20), torch.randn(16, 20) + 0.5])
    opt_critic.zero_grad()
    bce(critic(features(x).detach()).squeeze(1), labels).backward()
    opt_critic.step()
    opt_features.zero_grad()
    bce(critic(features(x)).squeeze(1), 1 - labels).backward()
    opt_features.step()
