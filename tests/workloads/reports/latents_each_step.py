"""Latent diffusion on small textures, in the manner of the text-to-image scripts: frozen encoder, trained denoiser."""
import argparse

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Textures(Dataset):
    def __init__(self, n=768, side=64):
        g = torch.Generator().manual_seed(4)
        coarse = torch.rand(n, 3, 8, 8, generator=g)
        self.pixels = F.interpolate(coarse, size=side, mode="bilinear") * 2 - 1

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, i):
        return {"pixel_values": self.pixels[i]}


def encoder():
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1), nn.SiLU(), nn.Conv2d(64, 64, 3, 2, 1), nn.SiLU(),
        nn.Conv2d(64, 96, 3, 2, 1), nn.SiLU(), nn.Conv2d(96, 128, 3, 2, 1), nn.SiLU(), nn.Conv2d(128, 4, 1),
    )  # fmt: skip


class Denoiser(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.time = nn.Embedding(1000, width)
        self.enter, self.leave = nn.Conv2d(4, width, 3, padding=1), nn.Conv2d(width, 4, 3, padding=1)
        self.blocks = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(4))

    def forward(self, x, t):
        x = self.enter(x) + self.time(t)[:, :, None, None]
        for block in self.blocks:
            x = x + block(F.silu(x))
        return self.leave(x)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--train_batch_size", type=int, default=32)
    parser.add_argument("--num_train_epochs", type=int, default=100)
    parser.add_argument("--learning_rate", type=float, default=1e-4)
    args = parser.parse_args()
    accelerator = Accelerator(cpu=True)
    torch.manual_seed(0)
    vae, unet = encoder(), Denoiser()
    vae.requires_grad_(False)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=args.learning_rate)
    loader = DataLoader(Textures(), batch_size=args.train_batch_size, shuffle=True)
    unet, optimizer, loader = accelerator.prepare(unet, optimizer, loader)
    kept = torch.linspace(1 - 1e-4, 0.98, 1000).cumprod(0)
    for epoch in range(args.num_train_epochs):
        for batch in loader:
            with torch.no_grad():
                latents = vae(batch["pixel_values"])
            noise = torch.randn_like(latents)
            t = torch.randint(0, 1000, (len(latents),))
            share = kept[t][:, None, None, None]
            noisy = share.sqrt() * latents + (1 - share).sqrt() * noise
            loss = F.mse_loss(unet(noisy, t), noise)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
        accelerator.print(f"epoch {epoch} loss {loss.item():.4f}", flush=True)


if __name__ == "__main__":
    main()
