"""An image trainer with meters, mixup, an averaged model, a schedule per update, and percentages of the epoch."""
import argparse
import copy
import time
from collections import OrderedDict

import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset


class Pictures(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.kinds = torch.randint(0, 10, (n,), generator=g)
        self.data = torch.randint(0, 255, (n, 3, 40, 40), generator=g, dtype=torch.uint8)

    def __len__(self):
        return len(self.kinds)

    def __getitem__(self, i):
        x, y = np.random.randint(0, 8, 2)
        picture = self.data[i, :, y : y + 32, x : x + 32]
        return picture.flip(-1) if np.random.rand() < 0.5 else picture, int(self.kinds[i])


class PrefetchLoader:
    def __init__(self, loader):
        self.loader = loader

    def __iter__(self):
        for pictures, kinds in self.loader:
            yield pictures.float().sub_(114.0).div_(58.0), kinds

    def __len__(self):
        return len(self.loader)

    @property
    def dataset(self):
        return self.loader.dataset


class ModelEma(nn.Module):
    def __init__(self, model, decay=0.9998):
        super().__init__()
        self.module, self.decay = copy.deepcopy(model).eval(), decay

    @torch.no_grad()
    def update(self, model):
        for ours, theirs in zip(self.module.state_dict().values(), model.state_dict().values()):
            ours.copy_(self.decay * ours + (1.0 - self.decay) * theirs)


class AverageMeter:
    def __init__(self):
        self.val = self.avg = self.sum = self.count = 0

    def update(self, val, n=1):
        self.val, self.sum, self.count = val, self.sum + val * n, self.count + n
        self.avg = self.sum / self.count


def convnet(width=48):
    def unit(a, b, stride):
        return nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.SiLU(inplace=True))
    return nn.Sequential(unit(3, width, 1), unit(width, width * 2, 2), unit(width * 2, width * 2, 1), unit(width * 2, width * 4, 2),
                         unit(width * 4, width * 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width * 4, 10))


def train_one_epoch(epoch, model, loader, optimizer, scheduler, ema, args):
    batch_time_m, losses_m = AverageMeter(), AverageMeter()
    model.train()
    end, num_updates = time.time(), epoch * len(loader)
    last_idx = len(loader) - 1
    for batch_idx, (x, y) in enumerate(loader):
        last_batch = batch_idx == last_idx
        lam = np.random.beta(0.8, 0.8)
        target = lam * nn.functional.one_hot(y, 10) + (1 - lam) * nn.functional.one_hot(y.flip(0), 10)
        x = x * lam + x.flip(0) * (1 - lam)
        loss = torch.sum(-target * model(x).log_softmax(-1), dim=-1).mean()
        losses_m.update(loss.item(), x.size(0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ema.update(model)
        num_updates += 1
        batch_time_m.update(time.time() - end)
        if last_batch or batch_idx % args.log_interval == 0:
            print(f"Train: {epoch} [{batch_idx:>4d}/{len(loader)} ({100.0 * batch_idx / last_idx:>3.0f}%)] Loss: {losses_m.avg:.4f} "
                  f"Rate: {x.size(0) / batch_time_m.avg:.0f}/s LR: {optimizer.param_groups[0]['lr']:.3e}", flush=True)
        scheduler.step()
        end = time.time()
    return OrderedDict([("loss", losses_m.avg)])


def validate(model, loader):
    model.eval()
    correct = AverageMeter()
    with torch.no_grad():
        for x, y in loader:
            correct.update((model(x).argmax(1) == y).float().mean().item(), len(y))
    return OrderedDict([("top1", correct.avg)])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--log-interval", type=int, default=10)
    args = parser.parse_args()
    torch.manual_seed(42)
    model = convnet()
    ema = ModelEma(model)
    loader_train = PrefetchLoader(DataLoader(Pictures(5000, 0), args.batch_size, shuffle=True, num_workers=args.workers, drop_last=True, persistent_workers=True))
    loader_eval = PrefetchLoader(DataLoader(Pictures(1000, 1), args.batch_size, num_workers=args.workers, persistent_workers=True))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=2e-5)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=args.epochs * len(loader_train))
    for epoch in range(args.epochs):
        train_metrics = train_one_epoch(epoch, model, loader_train, optimizer, scheduler, ema, args)
        print(epoch, dict(train_metrics), dict(validate(ema.module, loader_eval)), flush=True)


if __name__ == "__main__":
    main()
