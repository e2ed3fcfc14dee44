"""ResNet-50 on a folder of JPEGs, as a first image training is written; `--hand` is what an expert makes of it."""

import argparse
import contextlib
import itertools
import os

import torch
from _stopwatch import Stopwatch, add_options, compiled
from torch import nn
from torch.utils.data import DataLoader

try:
    from torchvision import datasets, models, transforms
except ImportError:
    from _without_torchvision import datasets, models, transforms

parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True, help="a folder with a folder of images for each class")
parser.add_argument("--batch-size", type=int)
parser.add_argument("--workers", type=int)
parser.add_argument("--lr", type=float, default=0.05)
parser.add_argument("--hand", action="store_true")
parser.add_argument("--small", action="store_true", help="tiny images and ResNet-18, to try the script on a CPU")
add_options(parser)


def main():
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    transform = transforms.Compose([
        transforms.RandomResizedCrop(32 if args.small else 224),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])  # fmt: skip
    dataset = datasets.ImageFolder(args.data, transform)
    batch_size = args.batch_size or (8 if args.small else 64)
    if args.hand:
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
        workers = args.workers or max(1, min(15, os.cpu_count() - 1))
        loader = DataLoader(
            dataset, batch_size, shuffle=True, drop_last=True, num_workers=workers,
            pin_memory=device == "cuda", persistent_workers=True, prefetch_factor=4,
        )  # fmt: skip
    else:
        workers = 2 if args.workers is None else args.workers
        loader = DataLoader(dataset, batch_size, shuffle=True, drop_last=True, num_workers=workers)

    model = (models.resnet18 if args.small else models.resnet50)(num_classes=len(dataset.classes)).to(device)
    criterion = nn.CrossEntropyLoss()
    if args.hand:
        model = model.to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, weight_decay=1e-4, fused=True)
        net, precision = compiled(model, args), torch.autocast(device, torch.bfloat16)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, weight_decay=1e-4)
        net, precision = model, contextlib.nullcontext()

    stopwatch = Stopwatch(args, device)
    for epoch in itertools.count(1):
        model.train()
        total, seen = 0.0, 0
        for images, labels in loader:
            if args.hand:
                images = images.to(device, non_blocking=True, memory_format=torch.channels_last)
                labels = labels.to(device, non_blocking=True)
            else:
                images, labels = images.to(device), labels.to(device)
            with precision:
                loss = criterion(net(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() if args.hand else loss.item()
            seen += 1
            if stopwatch.lap(len(labels)):
                break
        print(f"epoch {epoch}: loss {float(total) / seen:.4f}", flush=True)
        if stopwatch.over:
            break


if __name__ == "__main__":
    main()
