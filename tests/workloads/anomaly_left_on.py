"""Music generation with a small recurrent network. Had NaNs last week."""
import argparse

import torch
from torch import nn

torch.autograd.set_detect_anomaly(True)  # TODO remove once the NaN is found


class Composer(nn.Module):
    def __init__(self, notes=88, width=64, layers=6):
        super().__init__()
        self.notes = nn.Embedding(notes, width)
        self.mix = nn.ModuleList(
            nn.ModuleDict({"norm": nn.LayerNorm(width), "gate": nn.Linear(width, width), "value": nn.Linear(width, width)})
            for _ in range(layers))
        self.out = nn.Linear(width, notes)
        self.decay = nn.Parameter(torch.linspace(-2, 2, width))

    def forward(self, x):
        h = self.notes(x)
        for block in self.mix:
            y = block["norm"](h)
            memory = torch.cumsum(block["value"](y) * torch.sigmoid(self.decay), dim=1) / 8
            h = h + torch.sigmoid(block["gate"](y)) * torch.tanh(memory)
        return self.out(h)


def melodies(n=2048, length=33):
    start = torch.randint(20, 60, (n, 1))
    steps = torch.randint(0, 4, (n, length)).cumsum(1) % 24
    return start + steps


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", "--iterations", type=int, default=20000)
    parser.add_argument("--batch", type=int, default=8)
    args = parser.parse_args()
    torch.manual_seed(0)
    tunes = melodies()
    model = Composer()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for it in range(args.iterations):
        tune = tunes[torch.randint(0, len(tunes), (args.batch,))]
        logits = model(tune[:, :-1])
        loss = nn.functional.cross_entropy(logits.transpose(1, 2), tune[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if it % 200 == 0:
            print(f"{it}: {loss.item():.3f}", flush=True)


if __name__ == "__main__":
    main()
