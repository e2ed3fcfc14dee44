"""Churn prediction from exported event records (one JSON document per customer)."""
import json
import math
import random
import sys
import tempfile
from datetime import datetime
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

COUNTRIES = ["de", "fr", "it", "es", "pl", "nl", "se", "pt"]
EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 500


def export(path, n=8000):
    rnd = random.Random(7)
    with path.open("w") as f:
        for i in range(n):
            events = [
                {"at": f"2024-{rnd.randint(1, 12):02d}-{rnd.randint(1, 28):02d}T{rnd.randint(0, 23):02d}:00:00",
                 "kind": rnd.choice(["login", "purchase", "ticket"]), "amount": round(rnd.expovariate(0.05), 2)}
                for _ in range(12)
            ]
            spent = sum(e["amount"] for e in events if e["kind"] == "purchase")
            doc = {"id": i, "country": rnd.choice(COUNTRIES), "age": rnd.randint(18, 90), "events": events,
                   "churned": int(spent < 80 + rnd.gauss(0, 10))}
            f.write(json.dumps(doc) + "\n")


class Customers(Dataset):
    def __init__(self, path):
        self.lines = path.read_text().splitlines()

    def __len__(self):
        return len(self.lines)

    def featurise(self, line):
        doc = json.loads(line)
        one_hot = [float(doc["country"] == c) for c in COUNTRIES]
        counts = {"login": 0, "purchase": 0, "ticket": 0}
        amounts = dict.fromkeys(counts, 0.0)
        hours, gaps = [], []
        last = None
        for event in sorted(doc["events"], key=lambda e: e["at"]):
            when = datetime.strptime(event["at"], "%Y-%m-%dT%H:%M:%S")
            counts[event["kind"]] += 1
            amounts[event["kind"]] += event["amount"]
            hours.append(when.hour / 24)
            if last is not None:
                gaps.append((when - last).days / 30)
            last = when
        features = [doc["age"] / 90, *one_hot, *[c / 12 for c in counts.values()],
                    *[math.log1p(a) for a in amounts.values()], sum(hours) / len(hours), max(gaps)]
        return torch.tensor(features), torch.tensor(float(doc["churned"]))

    def __getitem__(self, index):
        return self.featurise(self.lines[index])


def main():
    torch.manual_seed(0)
    path = Path(tempfile.mkdtemp()) / "customers.jsonl"
    export(path)
    loader = DataLoader(Customers(path), batch_size=128, shuffle=True)
    net = nn.Sequential(nn.Linear(17, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 1))
    opt = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    criterion = nn.BCEWithLogitsLoss()
    for epoch in range(EPOCHS):
        hits = seen = 0
        for x, y in loader:
            out = net(x).squeeze(1)
            loss = criterion(out, y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            hits += ((out > 0) == (y > 0.5)).sum()
            seen += len(y)
        print(f"{epoch=} accuracy={hits / seen:.3f}")


main()
