"""Predicts the next product of a shopping basket; the products of a basket are one-hot rows."""
import torch
from torch import nn
from torch.nn import functional as F

PRODUCTS = 20_000


class NextProduct(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.embed = nn.Linear(PRODUCTS, width, bias=False)
        self.read = nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(width, 500)

    def forward(self, basket):
        rows = F.one_hot(basket, PRODUCTS).float()
        return self.out(self.read(self.embed(rows))[0][:, -1])


def main():
    torch.manual_seed(0)
    baskets = torch.randint(0, PRODUCTS, (5000, 12))
    following = torch.randint(0, 500, (5000,))
    model = NextProduct()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(60):
        for chosen in torch.randperm(len(baskets)).split(32):
            loss = F.cross_entropy(model(baskets[chosen]), following[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch} loss {loss.item():.4f}", flush=True)


if __name__ == "__main__":
    main()
