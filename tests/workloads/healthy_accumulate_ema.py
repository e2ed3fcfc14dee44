"""Set transformer on point clouds: gradient accumulation and an averaged model, both done properly."""
import argparse
import copy

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Clouds(Dataset):
    def __init__(self, n=2048, points=64):
        g = torch.Generator().manual_seed(2)
        self.y = torch.randint(0, 8, (n,), generator=g)
        axes = torch.rand(8, 3, generator=g) + 0.2
        self.x = torch.randn(n, points, 3, generator=g) * axes[self.y][:, None]

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


class SetTransformer(nn.Module):
    def __init__(self, width=192, depth=3):
        super().__init__()
        self.lift = nn.Linear(3, width)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Linear(width, 8)

    def forward(self, x):
        return self.head(self.encoder(self.lift(x)).amax(1))


@torch.no_grad()
def update_average(average, model, decay):
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)


def main(args):
    torch.manual_seed(0)
    loader = DataLoader(Clouds(), batch_size=args.micro_batch, shuffle=True, drop_last=True)
    model = SetTransformer()
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, fused=True)
    for epoch in range(args.epochs):
        for i, (x, y) in enumerate(loader):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = nn.functional.cross_entropy(model(x), y)
            (loss / args.accumulate).backward()
            if (i + 1) % args.accumulate == 0:
                optimizer.step()
                optimizer.zero_grad()
                update_average(average, model, 0.99)
        print(f"epoch {epoch}: loss {loss.item():.3f}", flush=True)


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--epochs", type=int, default=200)
    p.add_argument("--micro-batch", type=int, default=16)
    p.add_argument("--accumulate", type=int, default=4)
    main(p.parse_args())
