"""A small GPT learns to add: a Trainer class with callbacks, an endless sampler, four workers, attention by hand."""
import math
import time
from collections import defaultdict

import torch
import torch.nn as nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from torch.utils.data.dataloader import DataLoader


class AdditionDataset(Dataset):
    def __init__(self, ndigit=2):
        self.ndigit = ndigit
        self.ixes = torch.randperm((10**ndigit) ** 2, generator=torch.Generator().manual_seed(1337))

    def __len__(self):
        return self.ixes.nelement()

    def __getitem__(self, idx):
        a, b = divmod(self.ixes[idx].item(), 10**self.ndigit)
        render = f"{a:02d}{b:02d}" + f"{a + b:03d}"[::-1]
        dix = torch.tensor([int(s) for s in render], dtype=torch.long)
        x, y = dix[:-1], dix[1:].clone()
        y[: self.ndigit * 2 - 1] = -1
        return x, y


class Block(nn.Module):
    def __init__(self, n_embd=48, n_head=3, block_size=6):
        super().__init__()
        self.n_head = n_head
        self.ln_1, self.ln_2 = nn.LayerNorm(n_embd), nn.LayerNorm(n_embd)
        self.c_attn, self.c_proj = nn.Linear(n_embd, 3 * n_embd), nn.Linear(n_embd, n_embd)
        self.mlp = nn.Sequential(nn.Linear(n_embd, 4 * n_embd), nn.GELU(), nn.Linear(4 * n_embd, n_embd), nn.Dropout(0.1))
        self.register_buffer("bias", torch.tril(torch.ones(block_size, block_size)).view(1, 1, block_size, block_size))

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = (t.view(B, T, self.n_head, C // self.n_head).transpose(1, 2) for t in self.c_attn(self.ln_1(x)).split(C, 2))
        att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
        att = F.softmax(att.masked_fill(self.bias[:, :, :T, :T] == 0, float("-inf")), dim=-1)
        x = x + self.c_proj((att @ v).transpose(1, 2).contiguous().view(B, T, C))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    def __init__(self, n_embd=48):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(10, n_embd), nn.Embedding(6, n_embd)
        self.h, self.head = nn.Sequential(*(Block() for _ in range(3))), nn.Linear(n_embd, 10, bias=False)

    def forward(self, idx, targets):
        logits = self.head(self.h(self.wte(idx) + self.wpe.weight[: idx.size(1)]))
        return logits, F.cross_entropy(logits.view(-1, 10), targets.view(-1), ignore_index=-1)


class Trainer:
    def __init__(self, model, train_dataset):
        self.model, self.train_dataset, self.callbacks = model, train_dataset, defaultdict(list)
        self.iter_num, self.iter_time = 0, time.time()

    def run(self):
        model = self.model
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, betas=(0.9, 0.95), weight_decay=0.1)
        train_loader = DataLoader(
            self.train_dataset, sampler=torch.utils.data.RandomSampler(self.train_dataset, replacement=True, num_samples=int(1e10)),
            shuffle=False, pin_memory=True, batch_size=64, num_workers=4,
        )
        model.train()
        data_iter = iter(train_loader)
        while True:
            try:
                batch = next(data_iter)
            except StopIteration:
                data_iter = iter(train_loader)
                batch = next(data_iter)
            logits, self.loss = model(*batch)
            model.zero_grad(set_to_none=True)
            self.loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            for callback in self.callbacks["on_batch_end"]:
                callback(self)
            self.iter_num += 1
            now = time.time()
            self.iter_dt, self.iter_time = now - self.iter_time, now


def batch_end_callback(trainer):
    if trainer.iter_num % 10 == 0:
        print(f"iter {trainer.iter_num}: train loss {trainer.loss.item():.5f}", flush=True)


if __name__ == "__main__":
    torch.manual_seed(3407)
    trainer = Trainer(GPT(), AdditionDataset())
    trainer.callbacks["on_batch_end"].append(batch_end_callback)
    trainer.run()
