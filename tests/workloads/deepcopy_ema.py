"""Denoising autoencoder with an averaged copy of the weights for inference."""
import argparse
import copy

import torch
from torch import nn


class Denoiser(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.down = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.middle = nn.Sequential(*[m for _ in range(4) for m in (nn.Linear(width, width), nn.SiLU())])
        self.up = nn.Linear(width, 256)

    def forward(self, x):
        return x + self.up(self.middle(self.down(x)))


def averaged(old, model, decay):
    """Returns a new model: decay * old + (1 - decay) * model."""
    new = copy.deepcopy(model)
    with torch.no_grad():
        blended = [decay * o + (1 - decay) * p for o, p in zip(old.parameters(), model.parameters())]
        for q, b in zip(new.parameters(), blended):
            q.copy_(b)
    return new


def averaged_in_place(old, model, decay):
    with torch.no_grad():
        torch._foreach_lerp_(list(old.parameters()), list(model.parameters()), 1 - decay)
    return old


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--width", type=int, default=768)
    ap.add_argument("--steps", type=int, default=20_000)
    ap.add_argument("--decay", type=float, default=0.999)
    args = ap.parse_args()
    torch.manual_seed(0)
    basis = torch.randn(16, 256) / 4
    model = Denoiser(args.width)
    ema = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    for step in range(args.steps):
        clean = torch.randn(16, 16) @ basis
        noisy = clean + 0.3 * torch.randn_like(clean)
        loss = nn.functional.mse_loss(model(noisy), clean)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ema = averaged(ema, model, args.decay)
        if step % 100 == 0:
            with torch.no_grad():
                held = nn.functional.mse_loss(ema(noisy), clean)
            print(f"step {step} loss {loss.item():.4f} ema {held.item():.4f}", flush=True)


if __name__ == "__main__":
    main()
