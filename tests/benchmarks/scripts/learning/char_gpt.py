"""Characters of Python's own source files with a small GPT, which gives the loss of batches cut from the text."""

import argparse
import os
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

BLOCK, BATCH, WIDTH, HEADS, LAYERS = 32, 16, 48, 4, 2


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.project, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        heads = [part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in self.project(x).chunk(3, dim=2)]
        mixed = scaled_dot_product_attention(*heads, is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)])
        self.attention = Attention()
        self.dense = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x):
        x = x + self.attention(self.norms[0](x))
        return x + self.dense(self.norms[1](x))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.characters, self.places = nn.Embedding(128, WIDTH), nn.Embedding(BLOCK, WIDTH)
        self.blocks = nn.Sequential(*[Block() for _ in range(LAYERS)])
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 128)

    def forward(self, codes, targets=None):
        x = self.characters(codes) + self.places(torch.arange(codes.shape[1]))
        logits = self.head(self.norm(self.blocks(x)))
        loss = None if targets is None else cross_entropy(logits.flatten(0, 1), targets.flatten())
        return logits, loss


parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.003)
parser.add_argument("--updates", type=int, default=2000)
parser.add_argument("--seed", type=int, default=1337)
args = parser.parse_args()
torch.manual_seed(args.seed)
torch.set_num_threads(1)
files = sorted(Path(os.__file__).parent.glob("*.py"))[:40]
text = "".join(file.read_text(errors="ignore") for file in files)
data = torch.tensor([min(ord(character), 127) for character in text])
split = int(0.9 * len(data))
train_data, val_data = data[:split], data[split:]


def get_batch(source, generator=None):
    begins = torch.randint(len(source) - BLOCK - 1, (BATCH,), generator=generator)
    inputs = torch.stack([source[begin : begin + BLOCK] for begin in begins])
    targets = torch.stack([source[begin + 1 : begin + BLOCK + 1] for begin in begins])
    return inputs, targets


@torch.no_grad()
def estimate_loss(batches=8):
    model.eval()
    generator = torch.Generator().manual_seed(5)
    losses = [model(*get_batch(val_data, generator))[1].item() for _ in range(batches)]
    model.train()
    return sum(losses) / len(losses)


model = GPT()
optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, betas=(0.9, 0.95), weight_decay=0.1)
for update in range(args.updates):
    if update % 50 == 0:
        print(f"update {update}: {estimate_loss():.4f}", flush=True)
    inputs, targets = get_batch(train_data)
    _logits, loss = model(inputs, targets)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
print(f"update {args.updates}: {estimate_loss():.4f}", flush=True)
