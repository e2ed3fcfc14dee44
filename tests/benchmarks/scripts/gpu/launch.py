"""ResNet-18 on small pictures that lie on the device, with loss and accuracy read in every update: bound by launches.

`--hand` has CUDA graphs, by `torch.compile(mode="reduce-overhead")`, and reads at the end of an epoch.
"""

import argparse
import contextlib
import itertools

import torch
from _stopwatch import Stopwatch, add_options, compiled
from torch import nn

try:
    from torchvision import models
except ImportError:
    from _without_torchvision import models

parser = argparse.ArgumentParser()
parser.add_argument("--batch-size", type=int)
parser.add_argument("--lr", type=float, default=1e-3)
parser.add_argument("--hand", action="store_true")
parser.add_argument("--small", action="store_true", help="few pictures, to try the script on a CPU")
add_options(parser)
args = parser.parse_args()

device = "cuda" if torch.cuda.is_available() else "cpu"
torch.manual_seed(0)
count, batch_size = (256, 4) if args.small else (50_000, 64)
batch_size = args.batch_size or batch_size
pictures = torch.randn(count, 3, 32, 32, device=device)
labels = torch.randint(0, 10, (count,), device=device)
model = models.resnet18(num_classes=10).to(device)
criterion = nn.CrossEntropyLoss()
precision = contextlib.nullcontext()
fused = {"fused": True} if args.hand else {}
if args.hand:
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    model = model.to(memory_format=torch.channels_last)
    pictures = pictures.to(memory_format=torch.channels_last)
    precision = torch.autocast(device, torch.bfloat16)
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, **fused)


def evaluate(batch, targets):
    output = model(batch)
    return criterion(output, targets), (output.argmax(1) == targets).float().mean()


evaluated = compiled(evaluate, args, mode="reduce-overhead") if args.hand else evaluate
stopwatch = Stopwatch(args, device)
for epoch in itertools.count(1):
    model.train()
    losses, accuracies, total = [], [], torch.zeros((), device=device)
    for chosen in torch.randperm(count, device=device).split(batch_size)[: count // batch_size]:
        batch, targets = pictures[chosen], labels[chosen]
        if args.hand:
            batch = batch.contiguous(memory_format=torch.channels_last)
            torch.compiler.cudagraph_mark_step_begin()
        optimizer.zero_grad()
        with precision:
            loss, accuracy = evaluated(batch, targets)
        loss.backward()
        optimizer.step()
        if args.hand:
            total += loss.detach()
        else:
            losses.append(loss.item())
            accuracies.append(accuracy.item())
        if stopwatch.lap(len(chosen)):
            break
    mean = total.item() if args.hand else sum(losses) / len(losses)
    print(f"epoch {epoch}: loss {mean:.4f}", flush=True)
    if stopwatch.over:
        break
