import multiprocessing, time, io, os
import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import Dataset, DataLoader
import yaml

settings = yaml.safe_load("""
samples: 3000
batch: 32
workers: 3
lr: 0.0005
epochs: 1000
""")
N_BYTES = 3 * 32 * 32


def write(path, n):
    rng = np.random.default_rng(0)
    with open(path, "wb") as f:
        f.write(rng.integers(0, 256, n * N_BYTES, dtype=np.uint8).tobytes())


class ArchiveReader(Dataset):
    """The archive's library is not safe for several readers at once, hence the lock."""

    def __init__(self, path, n):
        self.path, self.n, self.lock = path, n, multiprocessing.Lock()

    def __len__(self):
        return self.n

    def _read(self, i):
        time.sleep(0.002)  # the archive is on a network drive
        with open(self.path, "rb") as f:
            f.seek(i * N_BYTES)
            return f.read(N_BYTES)

    def __getitem__(self, i):
        with self.lock:
            raw = self._read(i)
        return torch.frombuffer(bytearray(raw), dtype=torch.uint8).view(3, 32, 32).float() / 255, i % 10


write("archive.bin", settings["samples"])
model = nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(4096, 10))
loader = DataLoader(ArchiveReader("archive.bin", settings["samples"]), batch_size=settings["batch"], shuffle=True, num_workers=settings["workers"], persistent_workers=True)
optim = torch.optim.AdamW(model.parameters(), lr=settings["lr"])
for epoch in range(settings["epochs"]):
    for step, (image, label) in enumerate(loader):
        loss = nn.functional.cross_entropy(model(image), label)
        optim.zero_grad()
        loss.backward()
        optim.step()
    print(f"epoch {epoch}: {loss.item():.4f}", flush=True)
