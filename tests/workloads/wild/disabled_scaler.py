"""Written for a GPU: a GradScaler and autocast that are disabled on the CPU."""
import torch
from torch import nn

device = "cuda" if torch.cuda.is_available() else "cpu"
use_amp = device == "cuda"
model = nn.Sequential(nn.Linear(50, 50), nn.ReLU(), nn.Linear(50, 10)).to(device)
optimizer = torch.optim.AdamW(model.parameters())
scaler = torch.amp.GradScaler(device, enabled=use_amp)
for step in range(300):
    x = torch.randn(40, 50, device=device)
    with torch.autocast(device, dtype=torch.float16 if use_amp else torch.bfloat16, enabled=use_amp):
        loss = nn.functional.cross_entropy(model(x), x[:, :10].argmax(1))
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
