"""A small GAN of handwritten digits: two optimizers step in turn, and no single loss says which training is better."""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.0005)
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
torch.set_num_threads(1)
pixels = torch.tensor(load_digits().data, dtype=torch.float32) / 8 - 1
loader = DataLoader(TensorDataset(pixels), batch_size=64, shuffle=True, drop_last=True)
generator = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.Tanh())
critic = nn.Sequential(nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))
of_generator = torch.optim.Adam(generator.parameters(), lr=args.lr, betas=(0.5, 0.999))
of_critic = torch.optim.Adam(critic.parameters(), lr=args.lr, betas=(0.5, 0.999))
real, fake = torch.ones(64, 1), torch.zeros(64, 1)
judge = nn.BCEWithLogitsLoss()
for epoch in range(args.epochs):
    for (digits,) in loader:
        made = generator(torch.randn(64, 16))
        of_critic.zero_grad()
        (judge(critic(digits), real) + judge(critic(made.detach()), fake)).backward()
        of_critic.step()
        of_generator.zero_grad()
        judge(critic(made), real).backward()
        of_generator.step()
    with torch.no_grad():
        distance = (generator(torch.randn(512, 16)).mean(0) - pixels.mean(0)).abs().mean().item()
    print(f"epoch {epoch}: {distance:.4f}", flush=True)
