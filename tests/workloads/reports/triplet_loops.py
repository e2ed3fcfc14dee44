"""Signatures told apart by an embedding; the hardest triplets of a batch are looked for anchor by anchor."""
import torch
from torch import nn


class HardTripletLoss(nn.Module):
    def __init__(self, margin=0.3):
        super().__init__()
        self.margin = margin

    def forward(self, embedding, writer):
        losses = []
        for i in range(len(embedding)):
            farthest, nearest = None, None
            for j in range(len(embedding)):
                if i == j:
                    continue
                distance = (embedding[i] - embedding[j]).pow(2).sum()
                if writer[i] == writer[j]:
                    farthest = distance if farthest is None or distance > farthest else farthest
                else:
                    nearest = distance if nearest is None or distance < nearest else nearest
            if farthest is not None and nearest is not None:
                losses.append(torch.relu(farthest - nearest + self.margin))
        return torch.stack(losses).mean()


class HardTripletLossAtOnce(HardTripletLoss):
    def forward(self, embedding, writer):
        distance = (embedding[:, None] - embedding[None]).pow(2).sum(-1)
        same = writer[:, None] == writer[None]
        other = ~torch.eye(len(writer), dtype=torch.bool)
        farthest = distance.masked_fill(~(same & other), float("-inf")).amax(1)
        nearest = distance.masked_fill(same, float("inf")).amin(1)
        kept = farthest.isfinite() & nearest.isfinite()
        return torch.relu(farthest[kept] - nearest[kept] + self.margin).mean()


def main():
    torch.manual_seed(0)
    style = torch.randn(40, 128)
    net = nn.Sequential(nn.Linear(128, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 32))
    criterion = HardTripletLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for step in range(20_000):
        writer = torch.randint(0, 40, (8,)).repeat_interleave(3)
        signature = style[writer] + 0.7 * torch.randn(len(writer), 128)
        embedding = nn.functional.normalize(net(signature), dim=1)
        loss = criterion(embedding, writer)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            print(f"step {step} loss {loss.item():.4f}", flush=True)


if __name__ == "__main__":
    main()
