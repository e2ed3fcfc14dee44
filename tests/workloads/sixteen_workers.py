# Fault detection in vibration signals. num_workers as on the old 32-core box.
import tempfile

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

N_EPOCHS = 400
N_WORKERS = 16
BATCH = 32


class Vibration(Dataset):
    def __init__(self, path):
        self.signals = np.load(path, mmap_mode="r")
        self.window = np.hanning(256).astype(np.float32)
        # order tracking: a bank of 512 band filters, applied as one matrix product
        k = np.arange(129)
        centres = np.linspace(4, 124, 512)[:, None]
        self.bank = np.exp(-((k - centres) / 3) ** 2).astype(np.float32)

    def __len__(self):
        return len(self.signals)

    def __getitem__(self, i):
        row = self.signals[i]
        label = int(row[-1])
        frames = np.lib.stride_tricks.sliding_window_view(row[:-1], 256)[::32] * self.window
        spectrum = np.abs(np.fft.rfft(frames, axis=1)).astype(np.float32)
        spectrum = np.log1p(self.bank @ spectrum.T).T
        return torch.from_numpy(spectrum), label


def record(path, n=1024, length=2048):
    rng = np.random.default_rng(1)
    t = np.arange(length)
    label = rng.integers(0, 4, n)
    freq = 0.05 + 0.07 * label
    x = np.sin(2 * np.pi * freq[:, None] * t) + rng.normal(0, 1.0, (n, length))
    np.save(path, np.concatenate([x, label[:, None]], 1).astype(np.float32))


class SpectrumNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv1d(512, 64, 3, padding=1), nn.ReLU(), nn.Conv1d(64, 64, 3, padding=1), nn.ReLU())
        self.fc = nn.Linear(64, 4)

    def forward(self, x):
        return self.fc(self.conv(x.transpose(1, 2)).mean(-1))


def run():
    path = tempfile.mkdtemp() + "/signals.npy"
    record(path)
    loader = DataLoader(Vibration(path), BATCH, shuffle=True, num_workers=N_WORKERS, persistent_workers=N_WORKERS > 0)
    model = SpectrumNet()
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(N_EPOCHS):
        correct = 0
        for x, y in loader:
            out = model(x)
            loss = nn.functional.cross_entropy(out, y)
            adam.zero_grad()
            loss.backward()
            adam.step()
            correct += (out.argmax(1) == y).sum().item()
        print("epoch", epoch, "acc", round(correct / 1024, 3), flush=True)


if __name__ == "__main__":
    run()
