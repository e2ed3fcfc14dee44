"""Wasserstein GAN on feature vectors; five critic steps for each generator step."""
import argparse

import torch
from torch import nn, optim


def mlp(*dims):
    layers = []
    for a, b in zip(dims[:-1], dims[1:]):
        layers += [nn.Linear(a, b), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers[:-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--n-iter", type=int, default=10_000)
    parser.add_argument("--n-critic", type=int, default=5)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--clip", type=float, default=0.02)
    opt = parser.parse_args()
    torch.manual_seed(0)
    means = torch.randn(12, 128)
    generator, critic = mlp(64, 512, 512, 128), mlp(128, 512, 512, 1)
    opt_g = optim.RMSprop(generator.parameters(), lr=5e-5, foreach=True)
    opt_c = optim.RMSprop(critic.parameters(), lr=5e-5, foreach=True)
    for iteration in range(opt.n_iter):
        for _ in range(opt.n_critic):
            real = means[torch.randint(0, 12, (opt.batch,))] + 0.1 * torch.randn(opt.batch, 128)
            with torch.autocast("cpu", torch.bfloat16):
                with torch.no_grad():
                    fake = generator(torch.randn(opt.batch, 64))
                loss_c = critic(fake).float().mean() - critic(real).float().mean()
            opt_c.zero_grad()
            loss_c.backward()
            opt_c.step()
            with torch.no_grad():
                torch._foreach_clamp_min_(list(critic.parameters()), -opt.clip)
                torch._foreach_clamp_max_(list(critic.parameters()), opt.clip)
        with torch.autocast("cpu", torch.bfloat16):
            loss_g = -critic(generator(torch.randn(opt.batch, 64))).float().mean()
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        if iteration % 20 == 0:
            print(f"{iteration} critic {loss_c.item():.4f} generator {loss_g.item():.4f}", flush=True)


if __name__ == "__main__":
    main()
