"""A few hundred bird calls, many epochs: Lightning with the two workers that its warning asks for."""
import numpy as np
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer, seed_everything
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Calls(Dataset):
    def __init__(self, n, seed):
        rng = np.random.default_rng(seed)
        self.species = rng.integers(0, 10, n)
        self.waves = rng.normal(size=(n, 4096)).astype(np.float32)

    def __len__(self):
        return len(self.species)

    def __getitem__(self, i):
        pitch = 40 + 30 * self.species[i]
        wave = self.waves[i] + np.sin(2 * np.pi * pitch * np.linspace(0, 1, 4096, dtype=np.float32))
        spectrum = np.abs(np.fft.rfft(wave.reshape(32, 128), axis=1)).astype(np.float32)
        return np.log1p(spectrum)[None], self.species[i]


class Data(LightningDataModule):
    def train_dataloader(self):
        return DataLoader(Calls(320, 0), batch_size=32, shuffle=True, num_workers=2)


class Listener(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(24, 48, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(768, 10),
        )  # fmt: skip

    def training_step(self, batch, batch_idx):
        x, y = batch
        return nn.functional.cross_entropy(self.net(x), y)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def main():
    seed_everything(3)
    trainer = Trainer(max_epochs=2000, accelerator="cpu", logger=False, enable_checkpointing=False,
                      enable_progress_bar=False, enable_model_summary=False)
    trainer.fit(Listener(), datamodule=Data())


if __name__ == "__main__":
    main()
