import torch
import torch.nn as nn

# "Always set this, otherwise the cluster admin kills the job" (copied from the wiki)
torch.set_num_threads(1)

torch.manual_seed(0)
BATCH, DIM, HIDDEN, LATENT = 256, 784, 1024, 32
digits = torch.rand(20, DIM)


class VAE(nn.Module):
    def __init__(self):
        super(VAE, self).__init__()
        self.enc = nn.Sequential(nn.Linear(DIM, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU())
        self.mu = nn.Linear(HIDDEN, LATENT)
        self.logvar = nn.Linear(HIDDEN, LATENT)
        self.dec = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
                                 nn.Linear(HIDDEN, DIM))

    def forward(self, x):
        h = self.enc(x)
        mu, logvar = self.mu(h), self.logvar(h)
        z = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
        return self.dec(z), mu, logvar


def loss_function(recon, x, mu, logvar):
    bce = nn.functional.binary_cross_entropy_with_logits(recon, x, reduction="sum") / len(x)
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / len(x)
    return bce + kld


model = VAE()
optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
train_set = torch.bernoulli(digits[torch.randint(0, 20, (12800,))] * 0.9)

for epoch in range(1, 201):
    order = torch.randperm(len(train_set))
    total = 0
    for batch_idx in range(len(train_set) // BATCH):
        data = train_set[order[batch_idx * BATCH:(batch_idx + 1) * BATCH]]
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            recon, mu, logvar = model(data)
        loss = loss_function(recon.float(), data, mu.float(), logvar.float())
        loss.backward()
        optimizer.step()
        total += loss.item()
    print("====> Epoch: {} Average loss: {:.4f}".format(epoch, total / (batch_idx + 1)), flush=True)
