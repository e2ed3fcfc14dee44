"""Session-based next-item model. The profiler block was added for a presentation and never removed."""
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile, schedule


class NextItem(nn.Module):
    def __init__(self, items=500, width=64):
        super().__init__()
        self.items = nn.Embedding(items, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(10))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(10))

    def forward(self, clicked):
        h = self.items(clicked).mean(1)
        for block, norm in zip(self.blocks, self.norms):
            h = h + torch.relu(block(norm(h)))
        return h @ self.items.weight.T


def sessions(n=8192):
    interest = torch.randint(0, 50, (n, 1))
    return interest * 10 + torch.randint(0, 10, (n, 11))


def main(steps=20_000, batch=32):
    torch.manual_seed(0)
    clicks = sessions()
    model = NextItem()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss_fn = nn.CrossEntropyLoss()
    totals = []

    def on_trace(p):
        totals.append(sum(e.self_cpu_time_total for e in p.key_averages(group_by_input_shape=True)))

    with profile(activities=[ProfilerActivity.CPU], schedule=schedule(wait=0, warmup=1, active=9), on_trace_ready=on_trace,
                 record_shapes=True, profile_memory=True, with_stack=True) as prof:
        for step in range(steps):
            rows = clicks[torch.randint(0, len(clicks), (batch,))]
            loss = loss_fn(model(rows[:, :-1]), rows[:, -1])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            prof.step()
            if step % 100 == 0:
                print(step, f"{loss.item():.3f}", flush=True)


if __name__ == "__main__":
    main()
