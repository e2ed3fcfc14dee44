"""A small GPT whose peak of memory is printed after a few updates: with and without activation checkpointing."""

import argparse

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

parser = argparse.ArgumentParser()
parser.add_argument("--batch-size", type=int, default=8)
parser.add_argument("--checkpointing", action="store_true")
parser.add_argument("--updates", type=int, default=1_000_000)
args = parser.parse_args()

device = "cuda" if torch.cuda.is_available() else "cpu"
layers, heads, width, length, vocabulary = 8, 8, 512, 512, 16_384
torch.manual_seed(0)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm2, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        batch, tokens, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, tokens, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(batch, tokens, width))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block() for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, words):
        x = self.words(words) + self.places(torch.arange(words.shape[1], device=words.device))
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if args.checkpointing else block(x)
        return self.head(self.norm(x))


model = GPT().to(device)
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
for _ in range(args.updates):
    words = torch.randint(vocabulary, (args.batch_size, length + 1), device=device)
    scores = model(words[:, :-1])
    loss = F.cross_entropy(scores.view(-1, vocabulary), words[:, 1:].reshape(-1))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
if device == "cuda":
    print(f"peak {torch.cuda.max_memory_allocated()}")
