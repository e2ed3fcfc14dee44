"""A variational autoencoder of four linear layers on digits that become tensors one by one."""
import numpy as np
import torch
from PIL import Image
from torch import nn, optim
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset


class Digits(Dataset):
    def __init__(self, n, seed):
        rng = np.random.default_rng(seed)
        self.data = (rng.random((n, 28, 28)) ** 3 * 255).astype(np.uint8)

    def __len__(self):
        return len(self.data)

    def __getitem__(self, i):
        picture = Image.fromarray(self.data[i])
        return torch.from_numpy(np.array(picture)).unsqueeze(0).float().div(255), 0


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc21, self.fc22 = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)
        self.fc3, self.fc4 = nn.Linear(20, 400), nn.Linear(400, 784)

    def forward(self, x):
        h = F.relu(self.fc1(x.view(-1, 784)))
        mu, logvar = self.fc21(h), self.fc22(h)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, logvar


def loss_function(recon, x, mu, logvar):
    bce = F.binary_cross_entropy(recon, x.view(-1, 784), reduction="sum")
    return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


train_loader = DataLoader(Digits(60_000, 0), batch_size=128, shuffle=True)
test_loader = DataLoader(Digits(10_000, 1), batch_size=128)
model = VAE()
optimizer = optim.Adam(model.parameters(), lr=1e-3)
for epoch in range(1, 11):
    model.train()
    for batch_idx, (data, _) in enumerate(train_loader):
        optimizer.zero_grad()
        recon, mu, logvar = model(data)
        loss = loss_function(recon, data, mu, logvar)
        loss.backward()
        optimizer.step()
        if batch_idx % 10 == 0:
            print(f"Epoch {epoch} [{batch_idx * len(data)}] loss {loss.item() / len(data):.4f}", flush=True)
    model.eval()
    with torch.no_grad():
        total = sum(loss_function(*(lambda r: (r[0], x, r[1], r[2]))(model(x))).item() for x, _ in test_loader)
    print(f"Test {total / 10_000:.4f}", flush=True)
