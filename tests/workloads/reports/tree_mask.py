import argparse, random
import torch
from torch import nn

p = argparse.ArgumentParser()
p.add_argument("--nodes", type=int, default=128)
p.add_argument("--bs", type=int, default=16)
p.add_argument("--iters", type=int, default=20000)
A = p.parse_args()
torch.manual_seed(1)
random.seed(1)


class treeAttention(nn.Module):
    """Nodes of a syntax tree may look at their ancestors only."""

    def __init__(self, d=128):
        super().__init__()
        self.kind = nn.Embedding(60, d)
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(d, 4, 2 * d, 0.0, batch_first=True, norm_first=True) for _ in range(2))
        self.head = nn.Linear(d, 60)

    def may_look(self, parents):
        rows = []
        for parent in parents:
            table = [[False] * len(parent) for _ in parent]
            for i in range(len(parent)):
                j = i
                while j >= 0:
                    table[i][j] = True
                    j = parent[j]
            rows.append(table)
        return torch.tensor(rows)

    def forward(self, kinds, parents):
        mask = ~self.may_look(parents)
        mask = mask.repeat_interleave(4, 0)
        x = self.kind(kinds)
        for layer in self.layers:
            x = layer(x, src_mask=mask)
        return self.head(x)


def forest(n):
    for _ in range(n):
        parent = [-1] + [random.randrange(max(0, i - 6), i) for i in range(1, A.nodes)]
        yield torch.randint(0, 60, (A.nodes,)), parent


TREES = list(forest(400))
net = treeAttention()
opt = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
for it in range(A.iters):
    some = random.sample(range(len(TREES)), A.bs)
    kinds = torch.stack([TREES[i][0] for i in some])
    seen = kinds.masked_fill(torch.rand(kinds.shape) < 0.2, 0)
    loss = nn.functional.cross_entropy(net(seen, [TREES[i][1] for i in some]).flatten(0, 1), kinds.flatten())
    opt.zero_grad()
    loss.backward()
    opt.step()
    if not it % 50:
        print("it", it, "loss", round(loss.item(), 4), flush=True)
