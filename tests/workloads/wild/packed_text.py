"""Text is packed into one long row: the leading dimension of a batch says nothing about its samples."""
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Sentences(Dataset):
    def __len__(self):
        return 3000

    def __getitem__(self, i):
        return torch.randint(0, 60, (5 + i % 11,))


def pack(sentences):
    offsets = torch.tensor([0] + [len(s) for s in sentences[:-1]]).cumsum(0)
    return torch.cat(sentences), offsets


bag = nn.EmbeddingBag(60, 16)
out = nn.Linear(16, 1)
optimizer = torch.optim.SGD([*bag.parameters(), *out.parameters()], lr=0.1)
for tokens, offsets in DataLoader(Sentences(), batch_size=10, shuffle=True, collate_fn=pack):
    loss = out(bag(tokens, offsets)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
