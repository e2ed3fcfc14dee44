"""Molecule property prediction; the message passing loops over the graphs of a batch."""
import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Molecules(Dataset):
    def __init__(self, n=3000):
        g = torch.Generator().manual_seed(8)
        self.graphs = []
        for _ in range(n):
            atoms = int(torch.randint(6, 20, (1,), generator=g))
            kinds = torch.randint(0, 5, (atoms,), generator=g)
            bonds = torch.stack([torch.arange(1, atoms), (torch.rand(atoms - 1, generator=g) * torch.arange(1, atoms)).long()])
            bonds = torch.cat([bonds, bonds.flip(0)], 1)
            target = (kinds == 2).float().mean() + 0.1 * (kinds[bonds[0]] == kinds[bonds[1]]).float().mean()
            self.graphs.append((kinds, bonds, target))

    def __len__(self):
        return len(self.graphs)

    def __getitem__(self, i):
        return self.graphs[i]


class MPNN(nn.Module):
    def __init__(self, width=32, rounds=3):
        super().__init__()
        self.embed = nn.Embedding(5, width)
        self.message = nn.ModuleList(nn.Linear(width, width) for _ in range(rounds))
        self.update = nn.ModuleList(nn.GRUCell(width, width) for _ in range(rounds))
        self.readout = nn.Linear(width, 1)

    def one(self, kinds, bonds):
        h = self.embed(kinds)
        for message, update in zip(self.message, self.update):
            m = torch.zeros_like(h).index_add(0, bonds[1], message(h)[bonds[0]])
            h = update(m, h)
        return self.readout(h.mean(0))

    def forward(self, batch):
        return torch.cat([self.one(kinds, bonds) for kinds, bonds, _ in batch])

    def batched(self, batch):
        sizes = torch.tensor([len(kinds) for kinds, _, _ in batch])
        starts = sizes.cumsum(0) - sizes
        kinds = torch.cat([kinds for kinds, _, _ in batch])
        bonds = torch.cat([bonds + start for (_, bonds, _), start in zip(batch, starts)], 1)
        owner = torch.repeat_interleave(torch.arange(len(batch)), sizes)
        h = self.embed(kinds)
        for message, update in zip(self.message, self.update):
            m = torch.zeros_like(h).index_add(0, bonds[1], message(h)[bonds[0]])
            h = update(m, h)
        pooled = torch.zeros(len(batch), h.shape[1]).index_add(0, owner, h) / sizes[:, None]
        return self.readout(pooled).squeeze(1)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--epochs", type=int, default=500)
    p.add_argument("--batch_size", type=int, default=16)
    args = p.parse_args()
    torch.manual_seed(0)
    loader = DataLoader(Molecules(), batch_size=args.batch_size, shuffle=True, collate_fn=list)
    model = MPNN()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(args.epochs):
        total = 0.0
        for batch in loader:
            prediction = model(batch)
            target = torch.stack([t for _, _, t in batch])
            loss = nn.functional.mse_loss(prediction, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"epoch {epoch} mse {total / len(loader):.5f}", flush=True)


if __name__ == "__main__":
    main()
