"""Depth and surface normals of indoor pictures from one trunk; each loss is taken backward by itself."""
import torch
from torch import nn

PICTURES = 512


def trunk(width=32, depth=6):
    layers = []
    for place in range(depth):
        layers += [nn.Conv2d(3 if place == 0 else width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers)


def main():
    torch.manual_seed(7)
    shared, depth_head, normal_head = trunk(), nn.Conv2d(32, 1, 1), nn.Conv2d(32, 3, 1)
    parameters = [p for module in (shared, depth_head, normal_head) for p in module.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    pictures = torch.randn(PICTURES, 3, 48, 48)
    depth, normal = pictures.mean(1, keepdim=True), torch.tanh(pictures)
    for step in range(100_000):
        chosen = torch.randint(0, PICTURES, (16,))
        features = shared(pictures[chosen])
        loss_depth = (depth_head(features) - depth[chosen]).abs().mean()
        loss_normal = (normal_head(features) - normal[chosen]).square().mean()
        optimizer.zero_grad()
        loss_depth.backward(retain_graph=True)
        loss_normal.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"{step} depth {loss_depth.item():.4f} normal {loss_normal.item():.4f}", flush=True)


if __name__ == "__main__":
    main()
