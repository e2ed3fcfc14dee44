"""Forward-Forward: each layer has its own optimizer and loss; the model as a whole has no backward."""
import torch
import torch.nn as nn


class Layer(nn.Linear):
    def __init__(self, a, b):
        super().__init__(a, b)
        self.opt = torch.optim.Adam(self.parameters(), lr=0.03)

    def forward(self, x):
        return torch.relu(super().forward(x / (x.norm(2, 1, keepdim=True) + 1e-4)))

    def learn(self, positive, negative, steps):
        for _ in range(steps):
            good, bad = self(positive).pow(2).mean(1), self(negative).pow(2).mean(1)
            loss = torch.log(1 + torch.exp(torch.cat([2 - good, bad - 2]))).mean()
            self.opt.zero_grad()
            loss.backward()
            self.opt.step()
        return self(positive).detach(), self(negative).detach()


torch.manual_seed(1234)
positive = torch.rand(64, 40)
negative = positive[:, torch.randperm(40)]
for layer in [Layer(40, 60), Layer(60, 50), Layer(50, 30)]:
    positive, negative = layer.learn(positive, negative, 100)
