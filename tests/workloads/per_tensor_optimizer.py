"""An ensemble of 60 small regressors (quantiles x horizons), trained together with one optimizer."""
import torch
from torch import nn

STEPS = 50_000
HORIZONS, QUANTILES = 12, (0.05, 0.25, 0.5, 0.75, 0.95)


class Quantiles(nn.Module):
    def __init__(self, features, width=32):
        super().__init__()
        k = HORIZONS * len(QUANTILES)
        # one small network for each (horizon, quantile), kept separate so that they can be exported one by one
        self.w1 = nn.ParameterList(torch.randn(features, width) * features**-0.5 for _ in range(k))
        self.b1 = nn.ParameterList(torch.zeros(width) for _ in range(k))
        self.g = nn.ParameterList(torch.ones(width) for _ in range(k))
        self.s = nn.ParameterList(torch.zeros(width) for _ in range(k))
        self.w2 = nn.ParameterList(torch.randn(width, 1) * width**-0.5 for _ in range(k))
        self.b2 = nn.ParameterList(torch.zeros(1) for _ in range(k))

    def forward(self, x):
        w1, b1 = torch.stack(list(self.w1)), torch.stack(list(self.b1))
        g, s = torch.stack(list(self.g)), torch.stack(list(self.s))
        w2, b2 = torch.stack(list(self.w2)), torch.stack(list(self.b2))
        h = torch.relu(torch.baddbmm(b1[:, None], x.expand(len(w1), *x.shape), w1))
        h = h * g[:, None] + s[:, None]
        return torch.baddbmm(b2[:, None], h, w2).squeeze(-1).T.view(-1, HORIZONS, len(QUANTILES))


def pinball(prediction, target):
    q = torch.tensor(QUANTILES)
    error = target[..., None] - prediction
    return torch.maximum(q * error, (q - 1) * error).mean()


torch.manual_seed(0)
x = torch.randn(20_000, 16)
y = x[:, :HORIZONS].cumsum(1) / 4 + 0.3 * torch.randn(20_000, HORIZONS)
model = Quantiles(16)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01, foreach=False)
for step in range(STEPS):
    pick = torch.randint(0, len(x), (64,))
    loss = pinball(model(x[pick]), y[pick])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 200 == 0:
        print(step, round(loss.item(), 4), flush=True)
