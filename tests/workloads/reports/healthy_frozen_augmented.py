"""Fine-tuning the upper half of a network; the frozen lower half sees other crops every time, so it has to run."""
import random

import torch
from torch import nn


def stage(a, b, stride=1):
    return nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True))


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.lower = nn.Sequential(stage(3, 32, 2), stage(32, 64))
        self.upper = nn.Sequential(stage(64, 96, 2), stage(96, 128), stage(128, 128), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Linear(128, 16)

    def forward(self, x):
        with torch.no_grad():
            x = self.lower(x)
        return self.head(self.upper(x).flatten(1))


def crops(pictures, side=64):
    top, left = random.randrange(pictures.shape[-1] - side), random.randrange(pictures.shape[-1] - side)
    pictures = pictures[:, :, top : top + side, left : left + side]
    return pictures.flip(-1) if random.random() < 0.5 else pictures


def run():
    torch.manual_seed(0)
    kinds = torch.randint(0, 16, (1024,))
    pictures = (torch.rand(16, 3, 72, 72)[kinds] + 0.4 * torch.randn(1024, 3, 72, 72)).contiguous(memory_format=torch.channels_last)
    model = Backbone().to(memory_format=torch.channels_last)
    model.lower.requires_grad_(False).eval()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, fused=True)
    for epoch in range(40):
        model.upper.train()
        for rows in torch.randperm(len(kinds)).split(32):
            with torch.autocast("cpu", torch.bfloat16):
                loss = nn.functional.cross_entropy(model(crops(pictures[rows])).float(), kinds[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch} loss {loss.item():.4f}", flush=True)


run()
