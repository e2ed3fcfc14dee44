"""Fraud from account features with Lightning; the progress bar shows the AUROC of the epoch so far."""
import lightning as L
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchmetrics.classification import BinaryAUROC


class Accounts(Dataset):
    def __init__(self, n=400_000, features=40):
        g = torch.Generator().manual_seed(9)
        self.x = torch.randn(n, features, generator=g)
        self.y = (self.x[:, :6].sum(1) + torch.randn(n, generator=g) > 3).float()

    def __len__(self):
        return len(self.y)

    def __getitems__(self, rows):
        return self.x[rows], self.y[rows]

    def __getitem__(self, row):
        return self.x[row], self.y[row]


class Fraud(L.LightningModule):
    def __init__(self, features=40, width=256):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(features, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
        )
        self.auroc = BinaryAUROC()

    def training_step(self, batch, _):
        x, y = batch
        logits = self.net(x).squeeze(1)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, y)
        self.auroc.update(logits.detach().sigmoid(), y.int())
        self.log_dict({"loss": loss, "auroc": self.auroc.compute()}, prog_bar=True)
        return loss

    def on_train_epoch_end(self):
        self.auroc.reset()

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


if __name__ == "__main__":
    L.seed_everything(0)
    loader = DataLoader(Accounts(), batch_size=512, shuffle=True, drop_last=True, collate_fn=lambda batch: batch)
    L.Trainer(
        max_epochs=50, accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False
    ).fit(Fraud(), loader)
