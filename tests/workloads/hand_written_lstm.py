"""Next-value forecast for household power, with an LSTM cell written out as in the paper."""
import argparse
import math

import torch
from torch import nn


class MyLSTM(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.hidden = hidden
        for gate in "ifgo":
            self.register_parameter(f"W_{gate}", nn.Parameter(torch.randn(inputs, hidden) / math.sqrt(inputs)))
            self.register_parameter(f"U_{gate}", nn.Parameter(torch.randn(hidden, hidden) / math.sqrt(hidden)))
            self.register_parameter(f"b_{gate}", nn.Parameter(torch.zeros(hidden)))

    def forward(self, x):
        batch, steps, _ = x.shape
        h = x.new_zeros(batch, self.hidden)
        c = x.new_zeros(batch, self.hidden)
        outputs = []
        for t in range(steps):
            xt = x[:, t]
            i = torch.sigmoid(xt @ self.W_i + h @ self.U_i + self.b_i)
            f = torch.sigmoid(xt @ self.W_f + h @ self.U_f + self.b_f)
            g = torch.tanh(xt @ self.W_g + h @ self.U_g + self.b_g)
            o = torch.sigmoid(xt @ self.W_o + h @ self.U_o + self.b_o)
            c = f * c + i * g
            h = o * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs, 1)


class LibraryLSTM(nn.LSTM):
    def __init__(self, inputs, hidden):
        super().__init__(inputs, hidden, batch_first=True)

    def forward(self, x):
        return super().forward(x)[0]


class Forecaster(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.rnn = MyLSTM(4, hidden)
        self.out = nn.Linear(hidden, 1)

    def forward(self, x):
        return self.out(self.rnn(x)).squeeze(-1)


def series(length=50_000):
    t = torch.arange(length) / 96
    base = torch.sin(2 * math.pi * t) + 0.4 * torch.sin(2 * math.pi * t / 7)
    hour = torch.stack([torch.sin(2 * math.pi * t), torch.cos(2 * math.pi * t)], 1)
    noise = 0.1 * torch.randn(length, 2)
    return torch.cat([base[:, None] + noise[:, :1], noise[:, 1:], hour], 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--hidden", type=int, default=24)
    parser.add_argument("--window", type=int, default=48)
    args = parser.parse_args()
    torch.manual_seed(0)
    data = series()
    windows = data.unfold(0, args.window + 1, 1).transpose(1, 2)
    model = Forecaster(args.hidden)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(args.steps):
        batch = windows[torch.randint(0, len(windows), (args.batch,))]
        prediction = model(batch[:, :-1])
        loss = nn.functional.mse_loss(prediction, batch[:, 1:, 0])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 200 == 0:
            print(f"step {step} mse {loss.item():.4f}", flush=True)


if __name__ == "__main__":
    main()
