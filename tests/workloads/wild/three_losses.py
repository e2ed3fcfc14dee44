"""One forward, three losses, three calls of backward with the graph retained, one update."""
import torch
from torch import nn

trunk = nn.Linear(24, 48)
heads = nn.ModuleList(nn.Linear(48, k) for k in (3, 4, 5))
optimizer = torch.optim.Adagrad([*trunk.parameters(), *heads.parameters()], lr=0.01)
for it in range(300):
    h = trunk(torch.randn(20, 24)).relu()
    losses = [nn.functional.cross_entropy(head(h), torch.randint(0, head.out_features, (20,))) for head in heads]
    optimizer.zero_grad()
    for n, loss in enumerate(losses):
        loss.backward(retain_graph=n < len(losses) - 1)
    optimizer.step()
