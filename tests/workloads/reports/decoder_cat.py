"""GRU encoder/decoder with attention on a synthetic "reverse and shift" language, teacher forcing."""
import argparse
import random
import time

import torch
from torch import nn
import torch.nn.functional as F

BOS = 1


def batches(vocab, length, batch, seed):
    gen = torch.Generator().manual_seed(seed)
    while True:
        src = torch.randint(2, vocab, (batch, length), generator=gen)
        tgt = (src.flip(1) + 7 - 2) % (vocab - 2) + 2
        yield src, tgt


class Encoder(nn.Module):
    def __init__(self, vocab, dim):
        super().__init__()
        self.emb = nn.Embedding(vocab, dim)
        self.rnn = nn.GRU(dim, dim, batch_first=True)

    def forward(self, src):
        return self.rnn(self.emb(src))


class Decoder(nn.Module):
    def __init__(self, vocab, dim):
        super().__init__()
        self.emb = nn.Embedding(vocab, dim)
        self.cell = nn.GRUCell(2 * dim, dim)
        self.out = nn.Linear(2 * dim, vocab)

    def forward(self, token, hidden, memory):
        scores = torch.bmm(memory, hidden.unsqueeze(2)).softmax(1)
        context = (memory * scores).sum(1)
        hidden = self.cell(torch.cat([self.emb(token), context], 1), hidden)
        return self.out(torch.cat([hidden, context], 1)), hidden


class Seq2Seq(nn.Module):
    def __init__(self, vocab, dim):
        super().__init__()
        self.encoder, self.decoder = Encoder(vocab, dim), Decoder(vocab, dim)

    def forward(self, src, tgt, forcing):
        memory, hidden = self.encoder(src)
        hidden = hidden[0]
        token = torch.full((len(src),), BOS)
        logits = None
        for t in range(tgt.size(1)):
            step, hidden = self.decoder(token, hidden, memory)
            step = step.unsqueeze(1)
            logits = step if logits is None else torch.cat([logits, step], dim=1)
            token = tgt[:, t] if random.random() < forcing else logits[:, -1].argmax(1)
        return logits


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--vocab", type=int, default=2500)
    ap.add_argument("--length", type=int, default=180)
    ap.add_argument("--batch-size", type=int, default=16)
    ap.add_argument("--dim", type=int, default=96)
    ap.add_argument("--iters", type=int, default=20000)
    ap.add_argument("--lr", type=float, default=1e-3)
    ap.add_argument("--print-every", type=int, default=10)
    args = ap.parse_args()

    torch.manual_seed(1)
    random.seed(1)
    model = Seq2Seq(args.vocab, args.dim)
    opt = torch.optim.Adam(model.parameters(), lr=args.lr)
    sched = torch.optim.lr_scheduler.StepLR(opt, 2000, 0.7)
    total, tic = 0.0, time.time()
    for it, (src, tgt) in enumerate(batches(args.vocab, args.length, args.batch_size, 3), 1):
        forcing = max(0.3, 1.0 - it / 5000)
        logits = model(src, tgt, forcing)
        loss = F.cross_entropy(logits.reshape(-1, args.vocab), tgt.reshape(-1))
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        sched.step()
        total += loss.item()
        if it % args.print_every == 0:
            print(f"{it:6d} loss {total / args.print_every:.4f} forcing {forcing:.2f} {time.time() - tic:.1f}s")
            total = 0.0
        if it >= args.iters:
            break


if __name__ == "__main__":
    main()
