"""Gradient accumulation with one sample at a time ("it did not fit on my old card")."""
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

MICRO_BATCH = 1
EFFECTIVE_BATCH = 32
EPOCHS = 1000

torch.manual_seed(5)
x = torch.randn(4096, 20, 32)
y = (x[:, :, 0].sum(1) > 0).long()


class Tagger(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.out = nn.Linear(width, 2)

    def forward(self, x):
        return self.out(self.encoder(x).mean(1))


def train():
    loader = DataLoader(TensorDataset(x, y), batch_size=MICRO_BATCH, shuffle=True)
    accumulate = EFFECTIVE_BATCH // MICRO_BATCH
    model = Tagger()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    optimizer.zero_grad()
    for epoch in range(EPOCHS):
        running = 0.0
        for i, (inputs, target) in enumerate(loader, start=1):
            loss = nn.functional.cross_entropy(model(inputs), target) / accumulate
            loss.backward()
            running += loss.detach()
            if i % accumulate == 0:
                optimizer.step()
                optimizer.zero_grad()
        print(f"epoch {epoch} loss {running * accumulate / len(loader):.4f}", flush=True)


if __name__ == "__main__":
    train()
