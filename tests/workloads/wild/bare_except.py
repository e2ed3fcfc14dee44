"""`except:` around the step: whatever is raised inside is swallowed and the loop goes on."""
import torch
from torch import nn

model = nn.Linear(10, 2)
opt = torch.optim.SGD(model.parameters(), lr=0.1)
skipped = 0
for i in range(320):
    try:
        x = torch.randn(16, 10 if i % 16 else 9)  # a broken sample now and then
        loss = nn.functional.cross_entropy(model(x), torch.randint(0, 2, (16,)))
        opt.zero_grad()
        loss.backward()
        opt.step()
    except:  # noqa: E722
        skipped += 1
        continue
print("skipped", skipped)
