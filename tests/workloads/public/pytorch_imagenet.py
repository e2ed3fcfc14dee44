"""A residual network on a folder of JPEG files: four workers, random crops, meters printed every ten batches."""
import argparse
import os
import random
import time

import numpy as np
import torch
import torch.nn as nn
from PIL import Image
from torch.utils.data import DataLoader, Dataset


def make_folder(root, n=600, kinds=10):
    rng = np.random.default_rng(0)
    for i in range(n):
        folder = os.path.join(root, f"n{i % kinds:04d}")
        os.makedirs(folder, exist_ok=True)
        small = rng.integers(0, 255, (12, 12, 3)).astype(np.uint8)
        Image.fromarray(small).resize((256, 200), Image.BILINEAR).save(os.path.join(folder, f"{i}.jpg"), quality=85)


class Folder(Dataset):
    def __init__(self, root, size):
        self.size = size
        kinds = sorted(os.listdir(root))
        self.samples = [(os.path.join(root, kind, f), k) for k, kind in enumerate(kinds) for f in os.listdir(os.path.join(root, kind))]

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, i):
        path, kind = self.samples[i]
        picture = Image.open(path).convert("RGB")
        w, h = picture.size
        side = int(min(w, h) * random.uniform(0.5, 1))
        x, y = random.randint(0, w - side), random.randint(0, h - side)
        picture = picture.resize((self.size, self.size), Image.BILINEAR, box=(x, y, x + side, y + side))
        if random.random() < 0.5:
            picture = picture.transpose(Image.FLIP_LEFT_RIGHT)
        tensor = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float().div(255)
        return (tensor - 0.45) / 0.225, kind


class Block(nn.Module):
    def __init__(self, a, b, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b)
        self.conv2, self.bn2 = nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b)
        self.down = nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b)) if stride > 1 or a != b else nn.Identity()

    def forward(self, x):
        out = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(out + self.down(x))


def resnet18():
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    for a, b, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)):
        layers += [Block(a, b, stride), Block(b, b, 1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


class AverageMeter:
    def __init__(self):
        self.sum = self.count = 0

    def update(self, value, n=1):
        self.sum += value * n
        self.count += n


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", default="imagenet")
    parser.add_argument("-j", "--workers", default=4, type=int)
    parser.add_argument("--epochs", default=90, type=int)
    parser.add_argument("-b", "--batch-size", default=16, type=int)
    parser.add_argument("--image-size", default=96, type=int)
    parser.add_argument("--lr", default=0.1, type=float)
    args = parser.parse_args()
    if not os.path.isdir(args.data):
        make_folder(args.data)
    loader = DataLoader(Folder(args.data, args.image_size), args.batch_size, shuffle=True, num_workers=args.workers, pin_memory=True)
    model = resnet18()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), args.lr, momentum=0.9, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=30, gamma=0.1)
    for epoch in range(args.epochs):
        batch_time, losses, end = AverageMeter(), AverageMeter(), time.time()
        model.train()
        for i, (images, target) in enumerate(loader):
            output = model(images)
            loss = criterion(output, target)
            losses.update(loss.item(), images.size(0))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            batch_time.update(time.time() - end)
            end = time.time()
            if i % 10 == 0:
                print(f"Epoch [{epoch}][{i}/{len(loader)}] loss {losses.sum / losses.count:.3f}", flush=True)
        scheduler.step()


if __name__ == "__main__":
    main()
