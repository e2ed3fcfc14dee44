import numpy as np
import torch


def watch(network):
    """Histograms of the gradients, layer by layer, as they come."""
    seen = {}

    def remember(name):
        def hook(grad):
            values = grad.numpy().ravel()
            counts, edges = np.histogram(values, bins=64)
            seen[name] = (counts, edges, np.percentile(values, [1, 25, 50, 75, 99]))

        return hook

    for name, weight in network.named_parameters():
        weight.register_hook(remember(name))
    return seen


def build():
    torch.manual_seed(7)
    layers = []
    for a, b in zip([64] + [512] * 4, [512] * 4 + [10]):
        layers += [torch.nn.Linear(a, b), torch.nn.SiLU()]
    return torch.nn.Sequential(*layers[:-1])


def make_training(network, rows=20_000, size=512):
    x = torch.randn(rows, 64)
    y = (x[:, :10] + 0.5 * torch.randn(rows, 10)).argmax(1)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-4, fused=True)
    criterion = torch.nn.CrossEntropyLoss()

    def one_epoch():
        total = 0.0
        for part in torch.randperm(rows).split(size):
            optimizer.zero_grad()
            loss = criterion(network(x[part]), y[part])
            loss.backward()
            optimizer.step()
            total += loss.item()
        return total * size / rows

    return one_epoch


network = build()
histograms = watch(network)
epoch = make_training(network)
for number in range(2000):
    value = epoch()
    if histograms:
        widest = max(histograms, key=lambda n: histograms[n][1][-1])
        print(number, round(value, 3), "widest gradient:", widest, flush=True)
    else:
        print(number, round(value, 3), flush=True)
