"""Names, letter by letter: an embedding and two layers as bare tensors, the update written out; no module, no optimizer."""
import random

import torch
import torch.nn.functional as F

random.seed(42)
words = ["".join(random.choices("aeioulnrstm", k=random.randint(3, 9))) for _ in range(32_000)]
stoi = {s: i + 1 for i, s in enumerate("abcdefghijklmnopqrstuvwxyz")} | {".": 0}
block_size = 3


def build_dataset(words):
    X, Y = [], []
    for w in words:
        context = [0] * block_size
        for ch in w + ".":
            X.append(context)
            Y.append(stoi[ch])
            context = context[1:] + [stoi[ch]]
    return torch.tensor(X), torch.tensor(Y)


Xtr, Ytr = build_dataset(words)
g = torch.Generator().manual_seed(2147483647)
C = torch.randn((27, 10), generator=g)
W1, b1 = torch.randn((30, 200), generator=g) * 0.3, torch.randn(200, generator=g) * 0.01
W2, b2 = torch.randn((200, 27), generator=g) * 0.01, torch.zeros(27)
parameters = [C, W1, b1, W2, b2]
for p in parameters:
    p.requires_grad = True
lossi = []
for i in range(2_000_000):
    ix = torch.randint(0, Xtr.shape[0], (32,), generator=g)
    h = torch.tanh(C[Xtr[ix]].view(-1, 30) @ W1 + b1)
    loss = F.cross_entropy(h @ W2 + b2, Ytr[ix])
    for p in parameters:
        p.grad = None
    loss.backward()
    lr = 0.1 if i < 100_000 else 0.01
    for p in parameters:
        p.data += -lr * p.grad
    if i % 10_000 == 0:
        print(f"{i:7d}: {loss.item():.4f}", flush=True)
    lossi.append(loss.log10().item())
