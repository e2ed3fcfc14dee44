"""Softmax regression of the textbook: an animator, an accumulator, accuracies of each batch, four workers."""
import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils import data


class Clothes(data.Dataset):
    def __init__(self, n, seed):
        rng = np.random.default_rng(seed)
        self.targets = rng.integers(0, 10, n)
        self.data = np.clip(rng.normal(80, 60, (n, 28, 28)) + 12 * self.targets[:, None, None], 0, 255).astype(np.uint8)

    def __len__(self):
        return len(self.data)

    def __getitem__(self, i):
        return torch.from_numpy(np.array(Image.fromarray(self.data[i]))).unsqueeze(0).float().div(255), int(self.targets[i])


def load_data(batch_size):
    return (data.DataLoader(Clothes(60_000, 0), batch_size, shuffle=True, num_workers=4),
            data.DataLoader(Clothes(10_000, 1), batch_size, shuffle=False, num_workers=4))


class Accumulator:
    def __init__(self, n):
        self.data = [0.0] * n

    def add(self, *args):
        self.data = [a + float(b) for a, b in zip(self.data, args)]


def accuracy(y_hat, y):
    return float((y_hat.argmax(axis=1).type(y.dtype) == y).type(y.dtype).sum())


def evaluate_accuracy(net, data_iter):
    net.eval()
    metric = Accumulator(2)
    with torch.no_grad():
        for X, y in data_iter:
            metric.add(accuracy(net(X), y), y.numel())
    return metric.data[0] / metric.data[1]


def train_epoch_ch3(net, train_iter, loss, updater):
    net.train()
    metric = Accumulator(3)
    for X, y in train_iter:
        y_hat = net(X)
        l = loss(y_hat, y)
        updater.zero_grad()
        l.mean().backward()
        updater.step()
        metric.add(float(l.sum()), accuracy(y_hat, y), y.numel())
    return metric.data[0] / metric.data[2], metric.data[1] / metric.data[2]


if __name__ == "__main__":
    torch.manual_seed(0)
    train_iter, test_iter = load_data(256)
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    trainer = torch.optim.SGD(net.parameters(), lr=0.1)
    for epoch in range(50):
        metrics = train_epoch_ch3(net, train_iter, nn.CrossEntropyLoss(reduction="none"), trainer)
        print(epoch, metrics, evaluate_accuracy(net, test_iter), flush=True)
