"""The autoencoder of the first page of Lightning's documentation: a loader without a batch size."""
import lightning as L
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, random_split


class Digits(Dataset):
    def __init__(self, n=60_000):
        self.data = (torch.rand(n, 28, 28, generator=torch.Generator().manual_seed(0)) ** 3 * 255).byte()

    def __len__(self):
        return len(self.data)

    def __getitem__(self, i):
        return self.data[i][None].float() / 255, 0


class LitAutoEncoder(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(28 * 28, 128), nn.ReLU(), nn.Linear(128, 3))
        self.decoder = nn.Sequential(nn.Linear(3, 128), nn.ReLU(), nn.Linear(128, 28 * 28))

    def forward(self, x):
        return self.encoder(x)

    def training_step(self, batch, batch_idx):
        x, _ = batch
        x = x.view(x.size(0), -1)
        loss = F.mse_loss(self.decoder(self.encoder(x)), x)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


train, val = random_split(Digits(), [55_000, 5_000])
trainer = L.Trainer(max_epochs=10, accelerator="cpu")
trainer.fit(LitAutoEncoder(), DataLoader(train), DataLoader(val))
