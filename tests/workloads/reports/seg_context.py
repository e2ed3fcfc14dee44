"""Land-cover segmentation with a small dilated encoder ("ContextNet-ish").

python seg_context.py            # synthetic tiles
"""
from __future__ import annotations

import dataclasses
import logging

import torch
from torch import nn
from torch.nn import functional as F

log = logging.getLogger("seg")


@dataclasses.dataclass
class Cfg:
    tile: int = 64
    classes: int = 12
    width: int = 160
    batch: int = 16
    n_tiles: int = 1600
    epochs: int = 300
    lr: float = 0.02


def synth_tiles(cfg: Cfg):
    g = torch.Generator().manual_seed(7)
    low = torch.randn(cfg.n_tiles, cfg.classes, 6, 6, generator=g)
    labels, images = [], []
    palette = torch.rand(cfg.classes, 3, generator=g)
    for chunk in low.split(50):
        y = F.interpolate(chunk, size=(cfg.tile, cfg.tile), mode="bicubic").argmax(1)
        x = palette[y].permute(0, 3, 1, 2) + 0.25 * torch.randn(len(y), 3, cfg.tile, cfg.tile, generator=g)
        labels.append(y)
        images.append(x)
    return torch.cat(images).contiguous(memory_format=torch.channels_last), torch.cat(labels)


class ConvBNReLU(nn.Sequential):
    def __init__(self, cin, cout, k=3, stride=1, dilation=1):
        super().__init__(
            nn.Conv2d(cin, cout, k, stride, padding=dilation * (k // 2), dilation=dilation, bias=False),
            nn.BatchNorm2d(cout),
            nn.ReLU(inplace=True),
        )


class Bottleneck(nn.Module):
    def __init__(self, c, dilation):
        super().__init__()
        self.f = nn.Sequential(
            ConvBNReLU(c, c // 4, k=1),
            ConvBNReLU(c // 4, c // 4, dilation=dilation),
            nn.Conv2d(c // 4, c, 1, bias=False),
            nn.BatchNorm2d(c),
        )

    def forward(self, x):
        return F.relu(x + self.f(x))


class SegNet(nn.Module):
    def __init__(self, cfg: Cfg):
        super().__init__()
        w = cfg.width
        self.stem = nn.Sequential(
            ConvBNReLU(3, 16, stride=2),
            ConvBNReLU(16, 32, stride=2),
            ConvBNReLU(32, w, k=1),
        )
        self.context = nn.Sequential(*[Bottleneck(w, d) for d in (1, 2, 4)])
        self.classifier = nn.Conv2d(w, cfg.classes, kernel_size=1)

    def forward(self, x):
        size = x.shape[-2:]
        x = self.context(self.stem(x))
        x = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
        x = self.classifier(x)
        return x


def poly(step, total, power=0.9):
    return (1 - step / total) ** power


def run(cfg: Cfg):
    torch.manual_seed(0)
    images, labels = synth_tiles(cfg)
    net = SegNet(cfg).to(memory_format=torch.channels_last)
    opt = torch.optim.SGD(net.parameters(), lr=cfg.lr, momentum=0.9, weight_decay=1e-4, nesterov=True)
    per_epoch = cfg.n_tiles // cfg.batch
    sched = torch.optim.lr_scheduler.LambdaLR(opt, lambda s: poly(s, cfg.epochs * per_epoch))
    for epoch in range(cfg.epochs):
        net.train()
        order = torch.randperm(cfg.n_tiles)[: per_epoch * cfg.batch].view(per_epoch, cfg.batch)
        running = torch.zeros(())
        for idx in order:
            x, y = images[idx], labels[idx]
            if torch.rand(()) < 0.5:
                x, y = x.flip(-1), y.flip(-1)
            loss = F.cross_entropy(net(x), y)
            opt.zero_grad(set_to_none=True)
            loss.backward()
            opt.step()
            sched.step()
            running += loss.detach()
        log.info("epoch %3d  loss %.4f  lr %.4f", epoch, running / per_epoch, sched.get_last_lr()[0])


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    run(Cfg())
