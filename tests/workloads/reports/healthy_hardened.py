import torch, itertools
from torch import nn
from types import SimpleNamespace as NS

hp = NS(eps=0.05, alpha=0.02, attack_steps=4, bs=512, lr=0.01, width=1024, seed=1)
torch.manual_seed(hp.seed)
bf16 = lambda: torch.autocast("cpu", torch.bfloat16)
criterion = nn.CrossEntropyLoss()


def attack(net, x, y):
    net.eval()
    adv = x + hp.eps * (2 * torch.rand_like(x) - 1)
    for _ in range(hp.attack_steps):
        adv.requires_grad_()
        with bf16():
            value = criterion(net(adv).float(), y)
        (slope,) = torch.autograd.grad(value, adv)
        adv = (x + (adv.detach() + hp.alpha * slope.sign() - x).clamp(-hp.eps, hp.eps)).detach()
    net.train()
    return adv


net = nn.Sequential(
    nn.Linear(784, hp.width), nn.BatchNorm1d(hp.width), nn.ReLU(),
    nn.Linear(hp.width, hp.width), nn.BatchNorm1d(hp.width), nn.ReLU(), nn.Linear(hp.width, 10),
)  # fmt: skip
opt = torch.optim.SGD(net.parameters(), hp.lr, momentum=0.9, fused=True)
data = torch.rand(20_000, 784)
label = (data[:, :100].mean(1) * 400).long() % 10
for n in itertools.count():
    rows = torch.randint(len(data), (hp.bs,))
    x, y = data[rows], label[rows]
    adv = attack(net, x, y)
    with bf16():
        loss = criterion(net(adv).float(), y)
    opt.zero_grad()
    loss.backward()
    opt.step()
    if n % 40 == 0:
        print(n, loss.item(), flush=True)
