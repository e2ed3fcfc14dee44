"""House price regression from a table held in memory."""
import argparse

import torch
from torch import nn


def table(rows, columns, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, columns, generator=g)
    w = torch.randn(columns, generator=g)
    return x, torch.tanh(x @ w / columns**0.5) + 0.1 * torch.randn(rows, generator=g)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=400)
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--hidden", type=int, default=768)
    args = parser.parse_args()
    torch.manual_seed(0)
    x, y = table(65_536, 96)
    model = nn.Sequential(nn.Linear(96, args.hidden), nn.ReLU(), nn.Linear(args.hidden, args.hidden), nn.ReLU(),
                          nn.Linear(args.hidden, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    for epoch in range(args.epochs):
        total = torch.zeros(())
        for rows in torch.randperm(len(x)).split(args.batch_size):
            with torch.autocast("cpu", torch.bfloat16):
                prediction = model(x[rows])
            loss = nn.functional.mse_loss(prediction.float().squeeze(1), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach()
        print(f"epoch {epoch} mse {total / (len(x) / args.batch_size):.4f}", flush=True)


if __name__ == "__main__":
    main()
