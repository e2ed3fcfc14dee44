"""Two tasks that pull one trunk in different directions: gradients that conflict are projected (Yu et al., 2020)."""
import torch
from torch import nn
import torch.nn.functional as F

torch.manual_seed(0)


class Both(nn.Module):
    def __init__(self, width=1280):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(256, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.sort, self.size = nn.Linear(width, 12), nn.Linear(width, 1)

    def forward(self, x):
        h = self.trunk(x)
        return self.sort(h).float(), self.size(h).float().squeeze(1)


def projected(first, second):
    dot = sum((a * b).sum() for a, b in zip(first, second))
    if dot >= 0:
        return torch._foreach_add(first, second)
    scale_a = dot / sum((b * b).sum() for b in second)
    scale_b = dot / sum((a * a).sum() for a in first)
    return torch._foreach_add(torch._foreach_mul(first, 1 - scale_b), torch._foreach_mul(second, 1 - scale_a))


net = Both()
params = list(net.parameters())
opt = torch.optim.SGD(params, lr=3e-3, momentum=0.9, fused=True)
X = torch.randn(30_000, 256)
SORT, SIZE = X[:, :12].argmax(1), X[:, 20:60].mean(1)
done = 0
while done < 200_000:
    for rows in torch.randperm(len(X)).split(1024)[:-1]:
        with torch.autocast("cpu", torch.bfloat16):
            sort, size = net(X[rows])
        losses = [F.cross_entropy(sort, SORT[rows]), F.mse_loss(size, SIZE[rows])]
        pulls = []
        for n, loss in enumerate(losses):
            opt.zero_grad()
            loss.backward(retain_graph=n == 0)
            pulls.append([torch.zeros_like(p) if p.grad is None else p.grad for p in params])
        for p, g in zip(params, projected(*pulls)):
            p.grad = g
        opt.step()
        done += 1
        if done % 50 == 0:
            print(done, *(round(float(each), 4) for each in losses), flush=True)
