"""FedAvg on synthetic digit-like glyphs with a non-iid split."""
import copy
import random

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

N_CLIENTS, PER_ROUND, LOCAL_EPOCHS, BATCH, ROUNDS = 24, 6, 2, 50, 3000


def make_glyphs(n, protos, gen, classes=None):
    labels = torch.randint(0, 10, (n,), generator=gen) if classes is None else \
        classes[torch.randint(0, len(classes), (n,), generator=gen)]
    x = protos[labels] + 0.35 * torch.randn(n, 1, 28, 28, generator=gen)
    return TensorDataset(x, labels)


def build_model():
    return nn.Sequential(
        nn.Conv2d(1, 24, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(24, 48, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(48 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10))


def client_update(global_model, dataset, lr):
    model = copy.deepcopy(global_model)
    model.train()
    loader = DataLoader(dataset, batch_size=BATCH, shuffle=True)
    opt = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    total, seen = 0.0, 0
    for _ in range(LOCAL_EPOCHS):
        for x, y in loader:
            loss = nn.functional.cross_entropy(model(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item() * len(y)
            seen += len(y)
    return model.state_dict(), len(dataset), total / seen


def fed_avg(states, sizes):
    n = float(sum(sizes))
    return {k: sum(s[k] * (m / n) for s, m in zip(states, sizes)) for k in states[0]}


@torch.no_grad()
def evaluate(model, dataset):
    model.eval()
    hits = 0
    for x, y in DataLoader(dataset, batch_size=250):
        hits += (model(x).argmax(1) == y).sum().item()
    return hits / len(dataset)


def main():
    gen = torch.Generator().manual_seed(7)
    random.seed(7)
    protos = nn.functional.interpolate(torch.randn(10, 1, 7, 7, generator=gen), size=28, mode="bilinear")
    clients = []
    for _ in range(N_CLIENTS):
        own = torch.randperm(10, generator=gen)[:4]
        clients.append(make_glyphs(random.randint(400, 800), protos, gen, own))
    test = make_glyphs(1000, protos, gen)
    global_model, lr = build_model(), 0.02
    for rnd in range(1, ROUNDS + 1):
        chosen = random.sample(range(N_CLIENTS), PER_ROUND)
        states, sizes, losses = [], [], []
        for c in chosen:
            state, n, loss = client_update(global_model, clients[c], lr)
            states.append(state)
            sizes.append(n)
            losses.append(loss)
        global_model.load_state_dict(fed_avg(states, sizes))
        lr *= 0.999
        if rnd % 5 == 0:
            print(f"round {rnd}: local loss {sum(losses) / len(losses):.3f} "
                  f"test acc {evaluate(global_model, test):.3f}")


if __name__ == "__main__":
    main()
