"""Long-horizon forecasting with an encoder-only transformer (Lightning)."""
import tempfile
import warnings

import lightning as L
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

warnings.filterwarnings("ignore")


def electricity_like(n=20000, c=7, seed=0):
    g = torch.Generator().manual_seed(seed)
    t = torch.arange(n)[:, None].float()
    day, week = 2 * torch.pi * t / 24, 2 * torch.pi * t / 168
    a, b, p = torch.rand(c, generator=g), torch.rand(c, generator=g), torch.rand(c, generator=g) * 6.28
    x = a * torch.sin(day + p) + b * torch.cos(week + p) + 0.05 * torch.randn(n, c, generator=g).cumsum(0) * 0.1
    return (x - x.mean(0)) / x.std(0)


class Windows(Dataset):
    def __init__(self, series, lookback, horizon):
        self.s, self.lb, self.h = series, lookback, horizon

    def __len__(self):
        return len(self.s) - self.lb - self.h

    def __getitem__(self, i):
        return self.s[i:i + self.lb], self.s[i + self.lb:i + self.lb + self.h]


class EncoderBlock(nn.Module):
    """pre-norm block"""

    def __init__(self, d_model, n_heads, d_ff):
        super().__init__()
        self.attn = nn.MultiheadAttention(d_model, n_heads, batch_first=True)
        self.ff = nn.Sequential(nn.Linear(d_model, d_ff), nn.GELU(), nn.Linear(d_ff, d_model))
        self.ln1 = nn.LayerNorm(d_model)
        self.ln2 = nn.LayerNorm(d_model)

    def forward(self, x):
        h = self.ln1(x)
        h, _ = self.attn(h, h, h)
        x = x + h
        return x + self.ff(self.ln2(x))


class Forecaster(L.LightningModule):
    def __init__(self, channels=7, lookback=512, horizon=96, d_model=64, n_heads=4, depth=2, lr=5e-4):
        super().__init__()
        self.save_hyperparameters()
        self.embed = nn.Linear(channels, d_model)
        self.pos = nn.Parameter(torch.randn(1, lookback, d_model) * 0.02)
        self.blocks = nn.ModuleList([EncoderBlock(d_model, n_heads, 2 * d_model) for _ in range(depth)])
        self.norm = nn.LayerNorm(d_model)
        self.time = nn.Linear(lookback, horizon)
        self.out = nn.Linear(d_model, channels)

    def forward(self, x):
        mu, sd = x.mean(1, keepdim=True), x.std(1, keepdim=True) + 1e-5
        h = self.embed((x - mu) / sd) + self.pos
        for blk in self.blocks:
            h = blk(h)
        h = self.time(self.norm(h).transpose(1, 2)).transpose(1, 2)
        return self.out(h) * sd + mu

    def training_step(self, batch, _):
        x, y = batch
        loss = F.mse_loss(self(x), y)
        self.log("train_mse", loss, on_step=False, on_epoch=True, prog_bar=False)
        return loss

    def validation_step(self, batch, _):
        x, y = batch
        self.log("val_mse", F.mse_loss(self(x), y), on_epoch=True)

    def configure_optimizers(self):
        opt = torch.optim.AdamW(self.parameters(), lr=self.hparams.lr, weight_decay=1e-3)
        return {"optimizer": opt, "lr_scheduler": torch.optim.lr_scheduler.StepLR(opt, 5, 0.5)}


class ElectricityData(L.LightningDataModule):
    def __init__(self, lookback=512, horizon=96, batch_size=8):
        super().__init__()
        s = electricity_like()
        self.train, self.val = Windows(s[:18000], lookback, horizon), Windows(s[18000:], lookback, horizon)
        self.bs = batch_size

    def train_dataloader(self):
        return DataLoader(self.train, batch_size=self.bs, shuffle=True, drop_last=True)

    def val_dataloader(self):
        return DataLoader(self.val, batch_size=64)


class PrintEpoch(L.Callback):
    def on_train_epoch_end(self, trainer, module):
        print(f"epoch {trainer.current_epoch}", {k: round(v.item(), 4) for k, v in trainer.callback_metrics.items()})


if __name__ == "__main__":
    L.seed_everything(2021)
    trainer = L.Trainer(
        max_epochs=20,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
        default_root_dir=tempfile.mkdtemp(),
        callbacks=[PrintEpoch()],
        gradient_clip_val=1.0,
    )
    trainer.fit(Forecaster(), datamodule=ElectricityData())
