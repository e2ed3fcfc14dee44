"""accelerate: everything prepared, accumulation by its context, evaluation now and then."""

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def main():
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=3)
    data = TensorDataset(torch.randn(1224, 20), torch.randint(0, 4, (1224,)))
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1000)
    model, optimizer, train, held_out, schedule = accelerator.prepare(
        model, optimizer, DataLoader(data, batch_size=6, shuffle=True), DataLoader(data, batch_size=51), schedule
    )
    updates = 0
    for _epoch in range(2):
        for x, y in train:
            with accelerator.accumulate(model):
                loss = nn.functional.cross_entropy(model(x), y)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            if accelerator.sync_gradients:
                updates += 1
                if updates % 8 == 0:
                    model.eval()
                    with torch.no_grad():
                        right = sum((model(x).argmax(1) == y).sum().item() for x, y in held_out)
                    model.train()
                    accelerator.print(updates, right)
    accelerator.print("trained", updates)


if __name__ == "__main__":
    main()
