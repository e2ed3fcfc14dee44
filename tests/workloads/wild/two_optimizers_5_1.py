"""WGAN: five critic updates for one of the generator, which owns most of the parameters."""
import torch
from torch import nn

generator = nn.Sequential(nn.Linear(8, 128), nn.ReLU(), nn.Linear(128, 64))
critic = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1))
opt_g = torch.optim.RMSprop(generator.parameters(), lr=5e-5)
opt_c = torch.optim.RMSprop(critic.parameters(), lr=5e-5)
for it in range(600):
    opt_c.zero_grad()
    fake = generator(torch.randn(16, 8)).detach()
    loss_c = critic(fake).mean() - critic(torch.randn(16, 64)).mean()
    loss_c.backward()
    opt_c.step()
    for p in critic.parameters():
        p.data.clamp_(-0.01, 0.01)
    if it % 5 == 0:
        opt_g.zero_grad()
        (-critic(generator(torch.randn(16, 8))).mean()).backward()
        opt_g.step()
