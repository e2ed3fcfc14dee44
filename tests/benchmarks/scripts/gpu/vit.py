"""ViT-S on pictures in memory, with the loop of a fine-tuning notebook; `--hand` is what an expert makes of it."""

import argparse
import contextlib
import itertools
import os

import numpy as np
import torch
from _stopwatch import Stopwatch, add_options, compiled
from torch import nn
from torch.utils.data import DataLoader, Dataset

try:
    from timm import create_model
except ImportError:
    from _without_timm import create_model

parser = argparse.ArgumentParser()
parser.add_argument("--batch-size", type=int)
parser.add_argument("--workers", type=int)
parser.add_argument("--lr", type=float, default=5e-4)
parser.add_argument("--hand", action="store_true")
parser.add_argument("--small", action="store_true", help="tiny pictures and few layers, to try the script on a CPU")
add_options(parser)


class Pictures(Dataset):
    """Random pictures as bytes, flipped by chance and normalised as they are fetched."""

    def __init__(self, size, count=50_000, different=512):
        chance = np.random.default_rng(0)
        self.pixels = chance.integers(0, 256, (different, 3, size, size), dtype=np.uint8)
        self.labels = chance.integers(0, 1000, count)
        self.mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1) * 255
        self.std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1) * 255

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        picture = torch.from_numpy(self.pixels[index % len(self.pixels)])
        if torch.rand(()) < 0.5:
            picture = picture.flip(2)
        return picture.float().sub_(self.mean).div_(self.std), int(self.labels[index])


def main():
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    size = 32 if args.small else 224
    batch_size = args.batch_size or (8 if args.small else 64)
    dataset = Pictures(size)
    if args.hand:
        torch.set_float32_matmul_precision("high")
        workers = args.workers or max(1, min(12, os.cpu_count() - 1))
        loader = DataLoader(
            dataset, batch_size, shuffle=True, drop_last=True, num_workers=workers,
            pin_memory=device == "cuda", persistent_workers=True, prefetch_factor=4,
        )  # fmt: skip
    else:
        workers = (1 if args.small else 4) if args.workers is None else args.workers
        loader = DataLoader(dataset, batch_size, shuffle=True, drop_last=True, num_workers=workers)

    tiny = {"img_size": size, "embed_dim": 64, "depth": 2, "num_heads": 2} if args.small else {}
    model = create_model("vit_small_patch16_224", num_classes=1000, **tiny).to(device)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    fused = {"fused": True} if args.hand else {}
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.05, **fused)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=100_000)
    net, precision = model, contextlib.nullcontext()
    if args.hand:
        net, precision = compiled(model, args), torch.autocast(device, torch.bfloat16)

    stopwatch = Stopwatch(args, device)
    for epoch in itertools.count(1):
        model.train()
        for number, (pictures, labels) in enumerate(loader):
            pictures = pictures.to(device, non_blocking=args.hand)
            labels = labels.to(device, non_blocking=args.hand)
            optimizer.zero_grad()
            with precision:
                loss = criterion(net(pictures), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            if number % 50 == 0:
                print(f"epoch {epoch}, batch {number}: loss {loss.item():.4f}", flush=True)
            if stopwatch.lap(len(labels)):
                break
        if stopwatch.over:
            break


if __name__ == "__main__":
    main()
