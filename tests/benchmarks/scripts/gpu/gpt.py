"""GPT-2 (124M) from scratch, on tokens in an array and with a `get_batch` of its own; `--hand` as an expert has it."""

import argparse
import contextlib
import math

import numpy as np
import torch
from _stopwatch import Stopwatch, add_options, compiled
from torch import nn
from torch.nn import functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--batch-size", type=int)
parser.add_argument("--lr", type=float, default=6e-4)
parser.add_argument("--hand", action="store_true")
parser.add_argument("--small", action="store_true", help="a tiny network, to try the script on a CPU")
add_options(parser)
args = parser.parse_args()

device = "cuda" if torch.cuda.is_available() else "cpu"
layers, heads, width, block, vocabulary = (2, 2, 64, 64, 512) if args.small else (12, 12, 768, 1024, 50304)
batch_size = args.batch_size or (4 if args.small else 8)
warm_up_steps, decay_steps = 200, 20_000
torch.manual_seed(1337)
tokens = np.random.default_rng(1337).integers(0, vocabulary, 4_000_000, dtype=np.uint16)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x):
        batch, length, _ = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(batch, length, width))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention()
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.position_embedding = nn.Embedding(block, width)
        self.layers = nn.ModuleList([Layer() for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.apply(self.init)
        self.head.weight = self.token_embedding.weight

    @staticmethod
    def init(module):
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)

    def forward(self, x, targets):
        positions = torch.arange(x.shape[1], device=x.device)
        x = self.token_embedding(x) + self.position_embedding(positions)
        for layer in self.layers:
            x = layer(x)
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))


def get_batch():
    starts = torch.randint(len(tokens) - block - 1, (batch_size,)).tolist()
    rows = torch.stack([torch.from_numpy(tokens[at : at + block + 1].astype(np.int64)) for at in starts])
    x, y = rows[:, :-1].contiguous(), rows[:, 1:].contiguous()
    if args.hand and device == "cuda":
        return x.pin_memory().to(device, non_blocking=True), y.pin_memory().to(device, non_blocking=True)
    return x.to(device), y.to(device)


def learning_rate(step):
    if step < warm_up_steps:
        return args.lr * (step + 1) / warm_up_steps
    part = min(1.0, (step - warm_up_steps) / (decay_steps - warm_up_steps))
    return args.lr * (0.1 + 0.45 * (1 + math.cos(math.pi * part)))


model = GPT().to(device)
net, precision = model, contextlib.nullcontext()
if args.hand:
    torch.set_float32_matmul_precision("high")
    net, precision = compiled(model, args), torch.autocast(device, torch.bfloat16)
fused = {"fused": True} if args.hand else {}
optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, betas=(0.9, 0.95), weight_decay=0.1, **fused)

stopwatch = Stopwatch(args, device)
step = 0
while not stopwatch.over:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step)
    x, y = get_batch()
    with precision:
        loss = net(x, y)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if step % 10 == 0:
        print(f"step {step}: loss {loss.item():.4f}", flush=True)
    step += 1
    stopwatch.lap(batch_size)
