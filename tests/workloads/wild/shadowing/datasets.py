import torch


def load():
    torch.manual_seed(0)
    x = torch.randn(320, 12)
    return x, (x[:, 0] > 0).long()
