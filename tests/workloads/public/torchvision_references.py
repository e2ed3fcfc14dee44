"""The reference classification loop: a metric logger, accuracies of each batch, sixteen workers by default, mixup left out."""
import argparse
import datetime
import time
from collections import defaultdict, deque

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Pictures(Dataset):
    """JPEG bytes are kept in memory; each is decoded when it is asked for."""

    def __init__(self, n=1600, size=64):
        import io

        rng = np.random.default_rng(0)
        self.size, self.files = size, []
        for _ in range(64):
            buffer = io.BytesIO()
            Image.fromarray(rng.integers(0, 255, (10, 10, 3)).astype(np.uint8)).resize((160, 160)).save(buffer, "JPEG")
            self.files.append(buffer.getvalue())
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        import io

        picture = Image.open(io.BytesIO(self.files[i % 64])).convert("RGB").resize((self.size, self.size), Image.BILINEAR)
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float().div(255), i % 64


class SmoothedValue:
    def __init__(self, window_size=20):
        self.deque, self.total, self.count = deque(maxlen=window_size), 0.0, 0

    def update(self, value, n=1):
        self.deque.append(value)
        self.count += n
        self.total += value * n

    def __str__(self):
        d = torch.tensor(list(self.deque))
        return f"{d.median().item():.4f} ({self.total / self.count:.4f})"


class MetricLogger:
    def __init__(self):
        self.meters = defaultdict(SmoothedValue)

    def update(self, **values):
        for k, v in values.items():
            self.meters[k].update(v.item() if isinstance(v, torch.Tensor) else v)

    def log_every(self, iterable, print_freq, header):
        start = time.time()
        for i, obj in enumerate(iterable):
            yield obj
            if i % print_freq == 0:
                eta = datetime.timedelta(seconds=int((time.time() - start) / (i + 1) * (len(iterable) - i)))
                print(header, f"[{i}/{len(iterable)}] eta {eta}", " ".join(f"{k}: {m}" for k, m in self.meters.items()), flush=True)


def accuracy(output, target, topk=(1, 5)):
    with torch.inference_mode():
        _, pred = output.topk(max(topk), 1, True, True)
        correct = pred.t().eq(target[None])
        return [correct[:k].flatten().sum(dtype=torch.float32) * (100.0 / target.size(0)) for k in topk]


def mobilenet(width=32):
    def unit(a, b, stride):
        return nn.Sequential(
            nn.Conv2d(a, 4 * a, 1, bias=False), nn.BatchNorm2d(4 * a), nn.ReLU6(True),
            nn.Conv2d(4 * a, 4 * a, 3, stride, 1, groups=4 * a, bias=False), nn.BatchNorm2d(4 * a), nn.ReLU6(True),
            nn.Conv2d(4 * a, b, 1, bias=False), nn.BatchNorm2d(b),
        )
    return nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), unit(width, width, 1), unit(width, 48, 2), unit(48, 64, 2), unit(64, 96, 1),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, 64))


def train_one_epoch(model, criterion, optimizer, loader, epoch, args):
    model.train()
    logger = MetricLogger()
    for image, target in logger.log_every(loader, args.print_freq, f"Epoch: [{epoch}]"):
        output = model(image)
        loss = criterion(output, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        acc1, acc5 = accuracy(output, target)
        logger.update(loss=loss, lr=optimizer.param_groups[0]["lr"], acc1=acc1, acc5=acc5)


def main(args):
    torch.manual_seed(0)
    loader = DataLoader(Pictures(), batch_size=args.batch_size, shuffle=True, num_workers=args.workers, pin_memory=True)
    model = mobilenet()
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=30, gamma=0.1)
    for epoch in range(args.epochs):
        train_one_epoch(model, criterion, optimizer, loader, epoch, args)
        scheduler.step()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("-b", "--batch-size", default=32, type=int)
    parser.add_argument("--epochs", default=90, type=int)
    parser.add_argument("-j", "--workers", default=16, type=int)
    parser.add_argument("--print-freq", default=10, type=int)
    main(parser.parse_args())
