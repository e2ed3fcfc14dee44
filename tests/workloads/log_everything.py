"""Surrogate model for a wind tunnel. Every step's weights statistics go to a JSON-lines file for later plots."""
import argparse
import json
import os
import tempfile
import time

import torch
import torch.nn as nn


class JsonLogger:
    def __init__(self, path):
        self.file = open(path, "a")

    def log(self, record):
        self.file.write(json.dumps(record) + "\n")
        self.file.flush()
        os.fsync(self.file.fileno())

    def log_histograms(self, step, model, loss, lr):
        record = {"step": step, "time": time.time(), "loss": loss.item(), "lr": lr}
        for name, p in model.named_parameters():
            record[name + "/hist"] = torch.histc(p.detach(), bins=64).tolist()
            record[name + "/grad"] = [round(v, 6) for v in p.grad.flatten()[:2000].tolist()]
            record[name + "/norm"] = p.grad.norm().item()
        self.log(record)


class Surrogate(nn.Module):
    def __init__(self, dims):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(dims[:-1], dims[1:]))

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = torch.tanh(layer(x))
        return self.layers[-1](x)


def field(x):
    return torch.stack([torch.sin(3 * x[:, 0]) * x[:, 1], torch.cos(2 * x[:, 2]) + x[:, 3] ** 2], 1)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--log-every", type=int, default=1)
    p.add_argument("--steps", type=int, default=30_000)
    p.add_argument("--logdir", default=None)
    a = p.parse_args()
    torch.manual_seed(0)
    logdir = a.logdir or tempfile.mkdtemp()
    logger = JsonLogger(os.path.join(logdir, "metrics.jsonl"))
    model = Surrogate([8, 128, 128, 128, 2])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(a.steps):
        x = torch.rand(1024, 8) * 2 - 1
        loss = nn.functional.mse_loss(model(x), field(x))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % a.log_every == 0:
            logger.log_histograms(step, model, loss, optimizer.param_groups[0]["lr"])
    print("final loss", loss.item())


if __name__ == "__main__":
    main()
