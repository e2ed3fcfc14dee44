# %% [markdown]
# Tabular NN, per-feature encoders (exported from a notebook; AUC 0.79 on the LB)

# %%
import os, random, time
import numpy as np
import torch
import torch.nn as nn
from torch.optim.lr_scheduler import CosineAnnealingLR

class CFG:
    seed = 42
    n_rows = 60_000
    n_num = 160
    d_emb = 12
    hidden = 256
    bs = 512
    epochs = 100
    lr = 1e-3
    wd = 1e-5
    n_fold = 5

def seed_everything(seed):
    random.seed(seed); os.environ["PYTHONHASHSEED"] = str(seed)
    np.random.seed(seed); torch.manual_seed(seed)

seed_everything(CFG.seed)

# %%
# stand-in for train.csv
def load_train():
    rng = np.random.default_rng(CFG.seed)
    X = rng.standard_normal((CFG.n_rows, CFG.n_num), dtype=np.float32)
    X[:, ::3] = np.exp(X[:, ::3] * 0.5)            # skewed columns
    X[:, 1::7] = np.round(X[:, 1::7] * 2)          # count-like columns
    w = rng.standard_normal(CFG.n_num) * (rng.random(CFG.n_num) < 0.3)
    logit = np.sin(X * 2) @ w * 0.35 + 0.3 * X[:, 0] * X[:, 5]
    y = (rng.random(CFG.n_rows) < 1 / (1 + np.exp(-logit))).astype(np.float32)
    X = (X - X.mean(0)) / X.std(0)
    return torch.from_numpy(X), torch.from_numpy(y)

X, y = load_train()
fold = torch.from_numpy(np.random.permutation(CFG.n_rows) % CFG.n_fold)

# %%
class FeatureEncoder(nn.Module):
    """1 -> d_emb -> d_emb for each column, then everything is concatenated"""
    def __init__(self, n_num, d):
        super().__init__()
        self.enc1 = nn.ModuleList([nn.Linear(1, d) for _ in range(n_num)])
        self.enc2 = nn.ModuleList([nn.Linear(d, d) for _ in range(n_num)])

    def forward(self, x):
        outs = []
        for i in range(x.shape[1]):
            h = torch.relu(self.enc1[i](x[:, i:i + 1]))
            outs.append(self.enc2[i](h))
        return torch.cat(outs, dim=1)

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        d = CFG.n_num * CFG.d_emb
        self.fe = FeatureEncoder(CFG.n_num, CFG.d_emb)
        self.head = nn.Sequential(
            nn.LayerNorm(d), nn.Linear(d, CFG.hidden), nn.SiLU(),
            nn.LayerNorm(CFG.hidden), nn.Linear(CFG.hidden, CFG.hidden), nn.SiLU(),
            nn.Linear(CFG.hidden, 1))

    def forward(self, x):
        return self.head(self.fe(x)).squeeze(1)

# %%
def auc(y_true, score):
    order = torch.argsort(score)
    rank = torch.empty_like(score)
    rank[order] = torch.arange(1, len(score) + 1, dtype=score.dtype)
    pos = y_true > 0.5
    n1, n0 = pos.sum(), (~pos).sum()
    return ((rank[pos].double().sum() - n1 * (n1 + 1) / 2) / (n1 * n0)).item()

@torch.no_grad()
def predict(model, X):
    model.eval()
    return torch.cat([model(b) for b in X.split(2048)]).sigmoid()

def train_fold(k):
    tr, va = torch.where(fold != k)[0], torch.where(fold == k)[0]
    Xtr, ytr, Xva, yva = X[tr], y[tr], X[va], y[va]
    model = Model()
    opt = torch.optim.AdamW(model.parameters(), lr=CFG.lr, weight_decay=CFG.wd, fused=True)
    n_batch = len(tr) // CFG.bs
    sched = CosineAnnealingLR(opt, T_max=CFG.epochs * n_batch)
    crit = nn.BCEWithLogitsLoss()
    best = 0
    for ep in range(CFG.epochs):
        t0 = time.time()
        model.train()
        perm = torch.randperm(len(tr))
        run = 0
        for b in range(n_batch):
            idx = perm[b * CFG.bs:(b + 1) * CFG.bs]
            loss = crit(model(Xtr[idx]), ytr[idx])
            opt.zero_grad()
            loss.backward()
            opt.step()
            sched.step()
            run = run + loss.detach()
        score = auc(yva, predict(model, Xva))
        best = max(best, score)
        print(f"fold {k} ep {ep:02d} loss {run / n_batch:.4f} auc {score:.4f} best {best:.4f} [{time.time() - t0:.0f}s]")
    return best

# %%
if __name__ == "__main__":
    print("CV", np.mean([train_fold(k) for k in range(CFG.n_fold)]))
