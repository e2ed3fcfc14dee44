"""Sine waves learned to learn: inner steps of 64 tasks at once by torch.func, no loader, one optimizer outside."""
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

TASKS, SHOTS = 64, 32


def main():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1, 128), nn.Tanh(), nn.Linear(128, 128), nn.Tanh(), nn.Linear(128, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)

    def loss_of(params, x, y):
        return nn.functional.mse_loss(functional_call(net, params, (x,)), y)

    def after_inner_step(params, x, y, x_new, y_new):
        step = grad(loss_of)(params, x, y)
        return loss_of({name: p - 0.05 * step[name] for name, p in params.items()}, x_new, y_new)

    over_tasks = vmap(after_inner_step, in_dims=(None, 0, 0, 0, 0))
    for iteration in range(50_000):
        height, phase = 0.1 + 4.9 * torch.rand(TASKS, 1, 1), torch.pi * torch.rand(TASKS, 1, 1)
        x = 10 * torch.rand(TASKS, 2 * SHOTS, 1) - 5
        y = height * torch.sin(x + phase)
        loss = over_tasks(dict(net.named_parameters()), x[:, :SHOTS], y[:, :SHOTS], x[:, SHOTS:], y[:, SHOTS:]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if iteration % 50 == 0:
            print(f"iteration {iteration} loss {loss.item():.4f}", flush=True)


if __name__ == "__main__":
    main()
