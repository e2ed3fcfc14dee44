"""Intent classification for chat messages of very different lengths; batches are padded by hand."""
import argparse

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

PAD = 0
VOCAB = 4000


class Messages(Dataset):
    def __init__(self, n=6000):
        g = torch.Generator().manual_seed(11)
        lengths = torch.randint(20, 160, (n,), generator=g).tolist()
        self.labels = torch.randint(0, 12, (n,), generator=g).tolist()
        self.tokens = [
            (torch.randint(1, 300, (length,), generator=g) + 300 * label).clamp(max=VOCAB - 1)
            for length, label in zip(lengths, self.labels)
        ]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, idx):
        return {"tokens": self.tokens[idx], "label": self.labels[idx]}


def collate(examples):
    longest = max(len(e["tokens"]) for e in examples)
    batch = torch.full((len(examples), longest), PAD, dtype=torch.long)
    mask = torch.zeros(len(examples), longest)
    for row, example in enumerate(examples):
        for column, token in enumerate(example["tokens"]):
            batch[row, column] = token
            mask[row, column] = 1.0
    return {"tokens": batch, "mask": mask, "labels": torch.tensor([e["label"] for e in examples])}


def fast_collate(examples):
    batch = pad_sequence([e["tokens"] for e in examples], batch_first=True, padding_value=PAD)
    return {"tokens": batch, "mask": (batch != PAD).float(), "labels": torch.tensor([e["label"] for e in examples])}


class Classifier(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, width, padding_idx=PAD)
        self.body = nn.Sequential(nn.Linear(width, width), nn.Tanh())
        self.out = nn.Linear(width, 12)

    def forward(self, tokens, mask):
        hidden = self.body(self.embedding(tokens)) * mask.unsqueeze(-1)
        return self.out(hidden.sum(1) / mask.sum(1, keepdim=True))


class Trainer:
    def __init__(self, args):
        self.args = args
        self.model = Classifier()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=2e-3)
        self.loader = DataLoader(Messages(), batch_size=args.bs, shuffle=True, collate_fn=collate)

    def training_step(self, batch):
        loss = nn.functional.cross_entropy(self.model(batch["tokens"], batch["mask"]), batch["labels"])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def fit(self):
        for epoch in range(self.args.max_epochs):
            losses = [self.training_step(batch) for batch in self.loader]
            print(f"epoch {epoch}: {torch.stack(losses).mean():.4f}", flush=True)


if __name__ == "__main__":
    cli = argparse.ArgumentParser()
    cli.add_argument("--bs", type=int, default=16)
    cli.add_argument("--max_epochs", type=int, default=1000)
    Trainer(cli.parse_args()).fit()
