"""Asks the terminal for its width to draw a progress bar; there may be none."""
import os
import sys

import torch
import torch.nn as nn

_, columns = os.popen("stty size", "r").read().split()
columns = int(columns)


def progress_bar(now, total):
    filled = int((columns - 12) * (now + 1) / total)
    sys.stdout.write("\r[" + "=" * filled + ">" + "." * (columns - 12 - filled) + "]")
    sys.stdout.flush()


net = nn.Linear(20, 4)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
criterion = nn.CrossEntropyLoss()
for batch in range(300):
    inputs, targets = torch.randn(16, 20), torch.randint(0, 4, (16,))
    optimizer.zero_grad()
    loss = criterion(net(inputs), targets)
    loss.backward()
    optimizer.step()
    progress_bar(batch, 300)
print()
