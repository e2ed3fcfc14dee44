"""Click-through model that streams shards of log files through an IterableDataset with two workers."""
import argparse
import gzip
import json
import random
import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info


class LogStream(IterableDataset):
    def __init__(self, folder):
        self.shards = sorted(Path(folder).glob("*.jsonl.gz"))

    def my_shards(self):
        return self.shards

    def __iter__(self):
        for shard in self.my_shards():
            with gzip.open(shard, "rt") as lines:
                for line in lines:
                    row = json.loads(line)
                    yield torch.tensor(row["x"]), torch.tensor(row["slots"]), torch.tensor(row["y"])


class ShardedLogStream(LogStream):
    def my_shards(self):
        worker = get_worker_info()
        return self.shards if worker is None else self.shards[worker.id :: worker.num_workers]


class WideAndDeep(nn.Module):
    def __init__(self, slots=64, size=200, dim=16, hidden=128):
        super().__init__()
        self.table = nn.Embedding(slots * size, dim)
        self.deep = nn.Sequential(nn.Linear(16 + 8 * dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
                                  nn.Linear(hidden, 1))

    def forward(self, x, slots):
        return self.deep(torch.cat([x, self.table(slots).flatten(1)], 1)).squeeze(1)


def write_logs(folder, shards=8, rows=600):
    rnd = random.Random(0)
    for s in range(shards):
        with gzip.open(folder / f"part-{s:03d}.jsonl.gz", "wt", compresslevel=1) as out:
            for _ in range(rows):
                x = [round(rnd.gauss(0, 1), 4) for _ in range(16)]
                slots = [rnd.randrange(64 * 200) for _ in range(8)]
                out.write(json.dumps({"x": x, "slots": slots, "y": float(x[0] + x[1] > slots[0] % 3 - 1)}) + "\n")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--logs", type=Path, default=None)
    ap.add_argument("--epochs", type=int, default=200)
    args = ap.parse_args()
    torch.manual_seed(0)
    if args.logs is None:
        args.logs = Path(tempfile.mkdtemp())
        write_logs(args.logs)
    dataset = LogStream(args.logs)
    loader = DataLoader(dataset, batch_size=64, num_workers=2, persistent_workers=True)
    model = WideAndDeep()
    opt = torch.optim.Adagrad(model.parameters(), lr=0.02)
    for epoch in range(args.epochs):
        rows, total = 0, 0.0
        for x, slots, y in loader:
            loss = nn.functional.binary_cross_entropy_with_logits(model(x, slots), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            rows += len(y)
            total += loss.item() * len(y)
        print(f"epoch {epoch}: {rows} rows, logloss {total / rows:.4f}", flush=True)


if __name__ == "__main__":
    main()
