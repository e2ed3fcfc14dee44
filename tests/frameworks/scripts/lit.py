"""Lightning: training_step, a validation loop every epoch, checkpoints."""

import time
import warnings

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

warnings.simplefilter("ignore")


class Classifier(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(20, 48), nn.ReLU(), nn.Linear(48, 4))
        self.criterion = nn.CrossEntropyLoss()

    def training_step(self, batch, _index):
        x, y = batch
        time.sleep(0.002)  # long enough to be sampled beside busy CPUs
        return self.criterion(self.net(x), y)

    def validation_step(self, batch, _index):
        x, y = batch
        self.log("loss", self.criterion(self.net(x), y))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


if __name__ == "__main__":
    data = TensorDataset(torch.randn(320, 20), torch.randint(0, 4, (320,)))
    trainer = lightning.Trainer(
        max_epochs=4,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accumulate_grad_batches=2,
        default_root_dir="lit",
    )
    trainer.fit(Classifier(), DataLoader(data, batch_size=8, shuffle=True), DataLoader(data, batch_size=40))
    print("trained", trainer.global_step)
