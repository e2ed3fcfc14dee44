"""Sample 300 cannot be read; the error comes out of a worker process."""
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Files(Dataset):
    def __len__(self):
        return 1000

    def __getitem__(self, i):
        if i == 300:
            raise OSError(f"cannot identify image file 'train/{i:06d}.jpg'")
        return torch.randn(10)


if __name__ == "__main__":
    model = nn.Linear(10, 10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x in DataLoader(Files(), batch_size=10, num_workers=2):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
