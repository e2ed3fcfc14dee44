"""Sound clips, rare kinds drawn more often; an epoch is a small part of the archive."""
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler

N_CLIPS, CLIPS_AN_EPOCH, BATCH = 2_000_000, 1024, 64


class Archive(Dataset):
    """Embeddings of clips; those of the same minute share a row."""

    def __init__(self):
        g = torch.Generator().manual_seed(1)
        self.kinds = torch.multinomial(torch.tensor([0.9, 0.07, 0.02, 0.01]), N_CLIPS, replacement=True, generator=g)
        self.rows = torch.randn(4096, 256, generator=g)

    def __len__(self):
        return N_CLIPS

    def __getitem__(self, i):
        kind = self.kinds[i]
        return self.rows[i % 4096] + 0.3 * kind, kind


def main():
    torch.manual_seed(0)
    archive = Archive()
    weights = (1.0 / torch.bincount(archive.kinds))[archive.kinds]
    sampler = WeightedRandomSampler(weights, CLIPS_AN_EPOCH, replacement=False)
    loader = DataLoader(archive, batch_size=BATCH, sampler=sampler)
    model = nn.Sequential(nn.Linear(256, 512), nn.GELU(), nn.Linear(512, 512), nn.GELU(), nn.Linear(512, 4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for epoch in range(2000):
        for x, kind in loader:
            loss = nn.functional.cross_entropy(model(x), kind)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch % 10 == 0:
            print(f"epoch {epoch} loss {loss.item():.4f}", flush=True)


if __name__ == "__main__":
    main()
