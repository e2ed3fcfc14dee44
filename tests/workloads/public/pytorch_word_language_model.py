"""A word-level LSTM over one long text, with plain SGD by hand and clipped gradients."""
import argparse
import math
import time

import torch
import torch.nn as nn


class RNNModel(nn.Module):
    def __init__(self, ntoken, ninp, nhid, nlayers, dropout=0.2):
        super().__init__()
        self.ntoken, self.nhid, self.nlayers = ntoken, nhid, nlayers
        self.drop, self.encoder = nn.Dropout(dropout), nn.Embedding(ntoken, ninp)
        self.rnn, self.decoder = nn.LSTM(ninp, nhid, nlayers, dropout=dropout), nn.Linear(nhid, ntoken)

    def forward(self, x, hidden):
        output, hidden = self.rnn(self.drop(self.encoder(x)), hidden)
        decoded = self.decoder(self.drop(output)).view(-1, self.ntoken)
        return nn.functional.log_softmax(decoded, dim=1), hidden

    def init_hidden(self, n):
        weight = next(self.parameters())
        return weight.new_zeros(self.nlayers, n, self.nhid), weight.new_zeros(self.nlayers, n, self.nhid)


def batchify(data, n):
    length = data.size(0) // n
    return data[: length * n].view(n, -1).t().contiguous()


parser = argparse.ArgumentParser()
parser.add_argument("--emsize", type=int, default=200)
parser.add_argument("--nhid", type=int, default=200)
parser.add_argument("--lr", type=float, default=20)
parser.add_argument("--clip", type=float, default=0.25)
parser.add_argument("--epochs", type=int, default=40)
parser.add_argument("--batch_size", type=int, default=20)
parser.add_argument("--bptt", type=int, default=35)
args = parser.parse_args()
torch.manual_seed(1111)
ntokens = 10_000
corpus = (torch.rand(400_000).pow(4) * ntokens).long()
train_data, val_data = batchify(corpus[:380_000], args.batch_size), batchify(corpus[380_000:], 10)
model, criterion = RNNModel(ntokens, args.emsize, args.nhid, 2), nn.NLLLoss()


def get_batch(source, i):
    n = min(args.bptt, len(source) - 1 - i)
    return source[i : i + n], source[i + 1 : i + 1 + n].view(-1)


def evaluate(source):
    model.eval()
    total, hidden = 0.0, model.init_hidden(10)
    with torch.no_grad():
        for i in range(0, source.size(0) - 1, args.bptt):
            data, targets = get_batch(source, i)
            output, hidden = model(data, hidden)
            total += len(data) * criterion(output, targets).item()
    return total / (len(source) - 1)


for epoch in range(1, args.epochs + 1):
    model.train()
    total, start, hidden = 0.0, time.time(), model.init_hidden(args.batch_size)
    for batch, i in enumerate(range(0, train_data.size(0) - 1, args.bptt)):
        data, targets = get_batch(train_data, i)
        model.zero_grad()
        hidden = tuple(h.detach() for h in hidden)
        output, hidden = model(data, hidden)
        loss = criterion(output, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        for p in model.parameters():
            p.data.add_(p.grad, alpha=-args.lr)
        total += loss.item()
        if batch % 20 == 0 and batch > 0:
            print(f"epoch {epoch} batch {batch} ms {(time.time() - start) * 50:.1f} ppl {math.exp(min(20, total / 20)):.1f}", flush=True)
            total, start = 0.0, time.time()
    print(f"end of epoch {epoch} valid loss {evaluate(val_data):.2f}", flush=True)
