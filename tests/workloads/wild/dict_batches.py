"""Batches are dictionaries, made by a BatchSampler: the loader's batch_size is None."""
import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler


class Encoded(Dataset):
    def __len__(self):
        return 600

    def __getitem__(self, rows):
        length = 5 + max(rows) % 7
        ids = torch.randint(1, 50, (len(rows), length))
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids[:, 0] % 2}


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.out = nn.Embedding(50, 24), nn.Linear(24, 2)

    def forward(self, input_ids, attention_mask, labels):
        pooled = (self.embed(input_ids) * attention_mask[..., None]).sum(1) / attention_mask.sum(1, keepdim=True)
        logits = self.out(pooled)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


data = Encoded()
loader = DataLoader(data, sampler=BatchSampler(RandomSampler(data), 12, drop_last=True), batch_size=None)
model = Encoder()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for epoch in range(6):
    for batch in loader:
        loss = model(**batch)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
