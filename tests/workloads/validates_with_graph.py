"""Sea ice in radar pictures; the whole validation set is scored several times an epoch, without no_grad."""
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def score(net, loader):
    net.eval()
    right = 0.0
    for pictures, ice in loader:
        right += (net(pictures).argmax(1) == ice).float().mean()
    net.train()
    return right / len(loader)


def main():
    torch.manual_seed(0)
    pictures = torch.randn(3000, 4, 40, 40)
    ice = (pictures.mean(1) > 0).long()
    train = DataLoader(TensorDataset(pictures[:2000], ice[:2000]), batch_size=20, shuffle=True)
    valid = DataLoader(TensorDataset(pictures[2000:], ice[2000:]), batch_size=20)
    net = nn.Sequential(
        nn.Conv2d(4, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 2, 1)
    )
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(100):
        for step, (x, y) in enumerate(train):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
            if step % 10 == 9:
                print(f"epoch {epoch} step {step} right {score(net, valid).item():.4f}", flush=True)


if __name__ == "__main__":
    main()
