"""Cell nuclei segmentation on patches that live on a lab file server (one small file per patch)."""
import argparse
import io
import os
import tempfile
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils import data

# The share is mounted over the network here; this stands in for its latency when the mount is a local folder.
LATENCY = float(os.environ.get("SHARE_LATENCY", "0.004"))


class ShareFile(io.FileIO):
    def read(self, size=-1):
        time.sleep(LATENCY)
        return super().read(size)

    def readinto(self, buffer):
        time.sleep(LATENCY)
        return super().readinto(buffer)


class PatchDataset(data.Dataset):
    def __init__(self, root):
        self.files = sorted(os.path.join(root, f) for f in os.listdir(root))

    def __getitem__(self, i):
        with ShareFile(self.files[i]) as f:
            blob = np.frombuffer(f.read(), dtype=np.uint8).reshape(2, 48, 48)
        image = torch.from_numpy(blob[0] / np.float32(255))[None]
        mask = torch.from_numpy((blob[1] > 0).astype(np.float32))[None]
        return image, mask

    def __len__(self):
        return len(self.files)


def write_patches(root, n):
    rng = np.random.default_rng(3)
    yy, xx = np.mgrid[:48, :48]
    for i in range(n):
        cy, cx, r = rng.integers(10, 38), rng.integers(10, 38), rng.integers(4, 10)
        mask = ((yy - cy) ** 2 + (xx - cx) ** 2 < r * r).astype(np.uint8)
        image = np.clip(mask * 120 + rng.integers(0, 100, (48, 48)), 0, 255).astype(np.uint8)
        np.stack([image, mask]).tofile(os.path.join(root, f"patch{i:05d}.raw"))


def build_model():
    return nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
                         nn.Conv2d(16, 1, 1))


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--root", default=None)
    ap.add_argument("--epochs", type=int, default=100)
    ap.add_argument("--num-workers", type=int, default=0)
    opt = ap.parse_args()
    if opt.root is None:
        opt.root = tempfile.mkdtemp(prefix="patches")
        write_patches(opt.root, 1600)
    net = build_model()
    sgd = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    batches = data.DataLoader(PatchDataset(opt.root), batch_size=16, shuffle=True, num_workers=opt.num_workers)
    for epoch in range(opt.epochs):
        for step, (image, mask) in enumerate(batches):
            loss = F.binary_cross_entropy_with_logits(net(image), mask)
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            if step % 50 == 0:
                print(f"[{epoch}/{step}] bce={loss.item():.4f}", flush=True)
