"""An unconditional diffusion model with accelerate: augmentations, an averaged model, a picture now and then."""
import argparse
import math

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Butterflies(Dataset):
    def __init__(self, n=1000, resolution=32):
        g = torch.Generator().manual_seed(0)
        self.pictures = F.interpolate(torch.rand(n, 3, 6, 6, generator=g), size=resolution, mode="bilinear")

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, i):
        picture = self.pictures[i]
        return {"input": (picture.flip(-1) if torch.rand(()) < 0.5 else picture) * 2 - 1}


class Res(nn.Module):
    def __init__(self, a, b, time=128):
        super().__init__()
        self.n1, self.c1, self.n2, self.c2 = nn.GroupNorm(8, a), nn.Conv2d(a, b, 3, 1, 1), nn.GroupNorm(8, b), nn.Conv2d(b, b, 3, 1, 1)
        self.time, self.skip = nn.Linear(time, b), nn.Conv2d(a, b, 1) if a != b else nn.Identity()

    def forward(self, x, t):
        h = self.c1(F.silu(self.n1(x))) + self.time(F.silu(t))[:, :, None, None]
        return self.skip(x) + self.c2(F.silu(self.n2(h)))


class UNet(nn.Module):
    def __init__(self, w=48):
        super().__init__()
        self.time = nn.Sequential(nn.Linear(64, 128), nn.SiLU(), nn.Linear(128, 128))
        self.enter, self.leave = nn.Conv2d(3, w, 3, 1, 1), nn.Conv2d(w, 3, 3, 1, 1)
        self.down = nn.ModuleList([Res(w, w), Res(w, 2 * w), Res(2 * w, 2 * w)])
        self.up = nn.ModuleList([Res(4 * w, 2 * w), Res(4 * w, w), Res(2 * w, w)])

    def forward(self, x, t):
        freqs = torch.exp(-math.log(10_000) * torch.arange(32) / 32) * t[:, None]
        t = self.time(torch.cat([freqs.sin(), freqs.cos()], 1))
        x, kept = self.enter(x), []
        for block in self.down:
            x = block(x, t)
            kept.append(x)
            x = F.avg_pool2d(x, 2)
        for block in self.up:
            x = F.interpolate(x, scale_factor=2)
            x = block(torch.cat([x, kept.pop()], 1), t)
        return self.leave(x)


class EMAModel:
    def __init__(self, parameters, inv_gamma=1.0, power=0.75, max_value=0.9999):
        self.shadow, self.step_count, self.args = [p.clone().detach() for p in parameters], 0, (inv_gamma, power, max_value)

    @torch.no_grad()
    def step(self, parameters):
        self.step_count += 1
        decay = min(1 - (1 + self.step_count / self.args[0]) ** -self.args[1], self.args[2])
        for s, p in zip(self.shadow, parameters):
            s.sub_((1 - decay) * (s - p))


def main(args):
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=args.gradient_accumulation_steps, mixed_precision=args.mixed_precision)
    torch.manual_seed(0)
    model = UNet()
    ema = EMAModel(list(model.parameters()))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6)
    loader = DataLoader(Butterflies(), batch_size=args.train_batch_size, shuffle=True, num_workers=0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(loader) * args.num_epochs)
    model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, loader, scheduler)
    kept = torch.linspace(1 - 1e-4, 0.98, 1000).cumprod(0)
    for epoch in range(args.num_epochs):
        model.train()
        for step, batch in enumerate(loader):
            clean = batch["input"]
            noise = torch.randn(clean.shape)
            timesteps = torch.randint(0, 1000, (clean.shape[0],)).long()
            share = kept[timesteps][:, None, None, None]
            noisy = share.sqrt() * clean + (1 - share).sqrt() * noise
            with accelerator.accumulate(model):
                loss = F.mse_loss(model(noisy, timesteps.float()), noise)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
            if accelerator.sync_gradients:
                ema.step(list(model.parameters()))
        accelerator.print(f"epoch {epoch} loss {loss.detach().item():.4f} lr {scheduler.get_last_lr()[0]:.2e}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--train_batch_size", type=int, default=16)
    parser.add_argument("--num_epochs", type=int, default=100)
    parser.add_argument("--gradient_accumulation_steps", type=int, default=1)
    parser.add_argument("--mixed_precision", type=str, default="no")
    main(parser.parse_args())
