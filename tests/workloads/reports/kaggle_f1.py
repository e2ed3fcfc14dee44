# %% [markdown]
# # Protein atlas: 24 labels a picture, features of a frozen network
# %%
import numpy as np
import torch
import torch.nn as nn
import warnings
from sklearn.metrics import f1_score, roc_auc_score

warnings.filterwarnings("ignore")
SEED, EPOCHS, BS, LR, N_LABELS = 2021, 40, 256, 3e-4, 24
torch.manual_seed(SEED)
np.random.seed(SEED)

# %%
n = 40_000
X = torch.randn(n, 512)
W = torch.randn(512, N_LABELS) / 512**0.5
Y = ((X @ W + 0.3 * torch.randn(n, N_LABELS)) > 0.8).float()
train_idx, valid_idx = torch.arange(n - 4000), torch.arange(n - 4000, n)

# %%
model = nn.Sequential(
    nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Dropout(0.2), nn.Linear(512, N_LABELS)
)
opt = torch.optim.AdamW(model.parameters(), lr=LR)
crit = nn.BCEWithLogitsLoss()

# %%
for epoch in range(EPOCHS):
    model.train()
    losses, f1s, aucs = [], [], []
    for idx in train_idx[torch.randperm(len(train_idx))].split(BS):
        xb, yb = X[idx], Y[idx]
        out = model(xb)
        loss = crit(out, yb)
        opt.zero_grad()
        loss.backward()
        opt.step()
        losses.append(loss.item())
        pred = torch.sigmoid(out).detach().numpy()
        true = yb.numpy()
        f1s.append(f1_score(true, pred > 0.5, average="macro"))
        aucs.append(roc_auc_score(true, pred, average="macro"))
    model.eval()
    with torch.no_grad():
        pred = torch.sigmoid(model(X[valid_idx])).numpy()
    score = f1_score(Y[valid_idx].numpy(), pred > 0.5, average="macro")
    print(f"epoch {epoch} loss {np.mean(losses):.4f} f1 {np.mean(f1s):.4f} auc {np.mean(aucs):.4f} valid {score:.4f}", flush=True)
