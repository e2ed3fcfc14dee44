"""Curriculum: sequences become longer as training goes on, and with them the updates; that is meant so."""
import torch
from torch import nn


class Copier(nn.Module):
    """Repeats what it heard after the end mark; two stacked recurrent layers."""

    def __init__(self, width=384):
        super().__init__()
        self.enter, self.rnn = nn.Embedding(34, width), nn.GRU(width, width, 2, batch_first=True)
        self.leave = nn.Linear(width, 34)

    def forward(self, x):
        return self.leave(self.rnn(self.enter(x))[0])


def batch_of(length, size=48):
    heard = torch.randint(2, 34, (size, length))
    blank = torch.zeros_like(heard)
    mark = torch.ones(size, 1, dtype=torch.long)
    return torch.cat([heard, mark, blank], 1), torch.cat([blank, mark, heard], 1)


def main():
    torch.manual_seed(0)
    net = Copier()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    for update in range(5000):
        length = 12 + update // 40
        x, y = batch_of(length)
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(x)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1).float(), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        if update % 20 == 0:
            print(f"update {update} length {length} loss {loss.item():.4f}", flush=True)


if __name__ == "__main__":
    main()
