# Tiny GPT on a text corpus. Windows are cut out of a memory-mapped file and tokenised when needed.
import os
import random
import tempfile

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

# --- settings ---------------------------------------------------------------
out_dir = tempfile.mkdtemp()
batch_size = 24
block_size = 48
n_layer = 2
n_head = 4
n_embd = 64
max_iters = 20000
learning_rate = 3e-4
log_interval = 100
# -----------------------------------------------------------------------------

torch.manual_seed(1337)
random.seed(1337)

words = ["ship", "sea", "wind", "harbour", "captain", "rope", "storm", "island", "gull", "anchor", "tide", "lamp"]
path = os.path.join(out_dir, "corpus.txt")
with open(path, "w") as f:
    for _ in range(20000):
        f.write(" ".join(random.choices(words, k=random.randint(4, 9))) + ".\n")

corpus = np.memmap(path, dtype=np.uint8, mode="r")
chars = sorted(set(bytes(corpus[:100000]).decode()))
stoi = {c: i for i, c in enumerate(chars)}
merges = [a + b for a in "aeiorstn" for b in "aeiorstnl "]
vocab = {**stoi, **{m: len(stoi) + i for i, m in enumerate(merges)}}


def encode(text):
    """Greedy pair tokeniser."""
    ids, i = [], 0
    while i < len(text):
        pair = text[i:i + 2]
        if pair in vocab and len(pair) == 2:
            ids.append(vocab[pair])
            i += 2
        else:
            ids.append(vocab.get(text[i], 0))
            i += 1
    return ids


def get_batch():
    xs, ys = [], []
    for _ in range(batch_size):
        start = random.randint(0, len(corpus) - 64 * block_size)
        # read plenty so that there is always a whole block after a sentence start
        text = "".join(chr(b) for b in corpus[start:start + 48 * block_size])
        text = text[text.find("\n") + 1:]
        ids = encode(text)[:block_size + 1]
        xs.append(torch.tensor(ids[:-1]))
        ys.append(torch.tensor(ids[1:]))
    return torch.stack(xs), torch.stack(ys)


encoded = None


def get_batch_encoded():
    """Same windows, out of a corpus that is tokenised once."""
    global encoded
    if encoded is None:
        lines = [encode(line + "\n") for line in bytes(corpus).decode().split("\n")]
        encoded = torch.tensor([i for ids in lines for i in ids]), torch.tensor([len(ids) for ids in lines]).cumsum(0)
    tokens, ends = encoded
    start = ends[torch.randint(0, len(ends) - 100, (batch_size,))]
    window = tokens[start[:, None] + torch.arange(block_size + 1)]
    return window[:, :-1], window[:, 1:].contiguous()


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(n_embd), nn.LayerNorm(n_embd)
        self.qkv = nn.Linear(n_embd, 3 * n_embd)
        self.proj = nn.Linear(n_embd, n_embd)
        self.mlp = nn.Sequential(nn.Linear(n_embd, 2 * n_embd), nn.GELU(), nn.Linear(2 * n_embd, n_embd))

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = self.qkv(self.ln1(x)).view(B, T, 3, n_head, C // n_head).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(B, T, C))
        return x + self.mlp(self.ln2(x))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.tok = nn.Embedding(len(vocab), n_embd)
        self.pos = nn.Embedding(block_size, n_embd)
        self.blocks = nn.Sequential(*[Block() for _ in range(n_layer)])
        self.head = nn.Linear(n_embd, len(vocab))

    def forward(self, idx, targets):
        x = self.tok(idx) + self.pos(torch.arange(idx.size(1)))
        logits = self.head(self.blocks(x))
        return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))


model = GPT()
optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
for it in range(max_iters):
    x, y = get_batch()
    loss = model(x, y)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    if it % log_interval == 0:
        print(f"iter {it}: loss {loss.item():.3f}", flush=True)
