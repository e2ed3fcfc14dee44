"""Characters of Python's own source files with an LSTM and AdamW; windows are not seen twice in a short training."""

import argparse
import os
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.01)
parser.add_argument("--epochs", type=int, default=3)
args = parser.parse_args()

torch.manual_seed(0)
torch.set_num_threads(1)
files = sorted(Path(os.__file__).parent.glob("*.py"))[:40]
text = "".join(file.read_text(errors="ignore") for file in files)
text = "".join(char if char.isascii() else "?" for char in text)
CODES = torch.tensor([ord(char) for char in text])
LENGTH = 32


class Windows(Dataset):
    def __len__(self):
        return (len(CODES) - 1) // LENGTH

    def __getitem__(self, index):
        begin = index * LENGTH
        return CODES[begin : begin + LENGTH], CODES[begin + 1 : begin + LENGTH + 1]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(128, 32)
        self.lstm = nn.LSTM(32, 96, batch_first=True)
        self.head = nn.Linear(96, 128)

    def forward(self, batch):
        return self.head(self.lstm(self.embed(batch))[0])


model = Net()
optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
loader = DataLoader(Windows(), batch_size=16, shuffle=True)
for _epoch in range(args.epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        loss.backward()
        optimizer.step()
