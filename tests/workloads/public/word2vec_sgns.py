"""Skip-grams with negative samples, sparse embeddings, and a dataset that makes the pairs of a line when asked."""
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.utils.data import DataLoader, Dataset


class Word2vecDataset(Dataset):
    NEGATIVE_TABLE_SIZE = 1_000_000

    def __init__(self, n_lines=20_000, vocab=20_000, window=5):
        rng = np.random.default_rng(0)
        self.window = window
        p = 1 / np.arange(1, vocab + 1)
        self.lines = [" ".join(map(str, line)) for line in rng.choice(vocab, (n_lines, 25), p=p / p.sum())]
        self.id2word = {str(i): i for i in range(vocab)}
        self.negatives, self.negpos = rng.choice(vocab, self.NEGATIVE_TABLE_SIZE, p=p**0.5 / (p**0.5).sum()), 0
        self.discards = np.sqrt(1e-3 / (p / p.sum())) + 1e-3 / (p / p.sum())

    def __len__(self):
        return len(self.lines)

    def get_negatives(self, size=5):
        response = self.negatives[self.negpos : self.negpos + size]
        self.negpos = (self.negpos + size) % (len(self.negatives) - size)
        return response

    def __getitem__(self, idx):
        words = self.lines[idx].split()
        ids = [self.id2word[w] for w in words if w in self.id2word and np.random.rand() < self.discards[self.id2word[w]]]
        boundary = np.random.randint(1, self.window)
        return [(u, v, self.get_negatives()) for i, u in enumerate(ids) for j, v in enumerate(ids[max(i - boundary, 0) : i + boundary]) if u != v]

    @staticmethod
    def collate(batches):
        all_u = [u for batch in batches for u, _, _ in batch if len(batch) > 0]
        all_v = [v for batch in batches for _, v, _ in batch if len(batch) > 0]
        all_neg = [neg for batch in batches for _, _, neg in batch if len(batch) > 0]
        return torch.LongTensor(all_u), torch.LongTensor(all_v), torch.LongTensor(np.array(all_neg))


class SkipGramModel(nn.Module):
    def __init__(self, size, dim):
        super().__init__()
        self.u, self.v = nn.Embedding(size, dim, sparse=True), nn.Embedding(size, dim, sparse=True)
        nn.init.uniform_(self.u.weight.data, -1.0 / dim, 1.0 / dim)
        nn.init.constant_(self.v.weight.data, 0)

    def forward(self, pos_u, pos_v, neg_v):
        u, v, neg = self.u(pos_u), self.v(pos_v), self.v(neg_v)
        score = -F.logsigmoid(torch.clamp(torch.sum(u * v, dim=1), max=10, min=-10))
        neg_score = torch.clamp(torch.bmm(neg, u.unsqueeze(2)).squeeze(-1), max=10, min=-10)
        return torch.mean(score - torch.sum(F.logsigmoid(-neg_score), dim=1))


class Word2VecTrainer:
    def __init__(self, batch_size=32, dim=100, iterations=3):
        self.data = Word2vecDataset()
        self.loader = DataLoader(self.data, batch_size=batch_size, shuffle=False, num_workers=0, collate_fn=self.data.collate)
        self.model, self.iterations = SkipGramModel(20_000, dim), iterations

    def train(self):
        for iteration in range(self.iterations):
            optimizer = optim.SparseAdam(list(self.model.parameters()), lr=0.001)
            scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, len(self.loader))
            running = 0.0
            for i, (u, v, neg) in enumerate(self.loader):
                if len(u) > 1:
                    scheduler.step()
                    optimizer.zero_grad()
                    loss = self.model(u, v, neg)
                    loss.backward()
                    optimizer.step()
                    running = running * 0.9 + loss.item() * 0.1
                    if i > 0 and i % 100 == 0:
                        print(f"{iteration} {i} Loss: {running:.4f}", flush=True)


if __name__ == "__main__":
    Word2VecTrainer(iterations=100).train()
