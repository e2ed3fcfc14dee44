"""Nurses' notes sorted into wards; the collate function pads every batch to the model's longest input."""
import random

import torch
from accelerate import Accelerator
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

MAX_LENGTH, VOCABULARY, PAD = 256, 4000, 0


def notes(n=6000):
    rng = random.Random(12)
    out = []
    for _ in range(n):
        ward = rng.randrange(6)
        length = min(MAX_LENGTH, max(5, int(rng.lognormvariate(3.3, 0.5))))
        out.append((torch.tensor([1 + rng.randrange(600) + 500 * ward for _ in range(length)]), ward))
    return out


def collate(rows):
    ids = torch.full((len(rows), MAX_LENGTH), PAD)
    for row, (tokens, _) in enumerate(rows):
        ids[row, : len(tokens)] = tokens
    return {"input_ids": ids, "attention_mask": (ids != PAD).long(), "labels": torch.tensor([ward for _, ward in rows])}


def collate_to_longest(rows):
    ids = pad_sequence([tokens for tokens, _ in rows], batch_first=True, padding_value=PAD)
    return {"input_ids": ids, "attention_mask": (ids != PAD).long(), "labels": torch.tensor([ward for _, ward in rows])}


class NoteClassifier(nn.Module):
    def __init__(self, width=160, depth=3):
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, width, padding_idx=PAD)
        self.places = nn.Embedding(MAX_LENGTH, width)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Linear(width, 6)

    def forward(self, input_ids, attention_mask, labels):
        x = self.words(input_ids) + self.places.weight[: input_ids.shape[1]]
        x = self.encoder(x, src_key_padding_mask=attention_mask == 0)
        mask = attention_mask.unsqueeze(-1)
        logits = self.head((x * mask).sum(1) / mask.sum(1))
        return nn.functional.cross_entropy(logits, labels)


def main():
    accelerator = Accelerator(cpu=True, mixed_precision="bf16")
    torch.manual_seed(0)
    loader = DataLoader(notes(), batch_size=16, shuffle=True, collate_fn=collate)
    model = NoteClassifier()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    for epoch in range(20):
        for step, batch in enumerate(loader):
            loss = model(**batch)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            if step % 50 == 0:
                accelerator.print(f"epoch {epoch} step {step} loss {loss.item():.4f}", flush=True)


if __name__ == "__main__":
    main()
