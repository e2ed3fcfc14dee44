"""Forecasting demand with Lightning, validated many times an epoch."""
import lightning.pytorch as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Demand(Dataset):
    def __init__(self, n, seed, past=96, ahead=12):
        g = torch.Generator().manual_seed(seed)
        t = torch.arange(past + ahead) / 24
        phase = torch.rand(n, 1, generator=g)
        self.series = torch.sin(2 * torch.pi * (t + phase)) + 0.2 * torch.randn(n, past + ahead, generator=g)
        self.past = past

    def __len__(self):
        return len(self.series)

    def __getitems__(self, rows):
        chosen = self.series[rows]
        return chosen[:, : self.past], chosen[:, self.past :]


class Forecast(pl.LightningModule):
    def __init__(self, width=64):
        super().__init__()
        self.save_hyperparameters()
        self.rnn, self.out = nn.GRU(1, width, batch_first=True), nn.Linear(width, 12)

    def forward(self, past):
        _, state = self.rnn(past.unsqueeze(-1))
        return self.out(state[-1])

    def training_step(self, batch, _):
        past, ahead = batch
        return nn.functional.mse_loss(self(past), ahead)

    def validation_step(self, batch, _):
        past, ahead = batch
        self.log("val_mae", (self(past) - ahead).abs().mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams.width * 1e-5)


def loader(dataset, **options):
    return DataLoader(dataset, batch_size=64, collate_fn=lambda batch: batch, **options)


if __name__ == "__main__":
    pl.seed_everything(1)
    trainer = pl.Trainer(
        max_epochs=100, accelerator="cpu", val_check_interval=10, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(Forecast(), loader(Demand(12_800, 0), shuffle=True), loader(Demand(4096, 1)))
