"""Detection as sets: queries are matched with boxes by the Hungarian method, picture by picture, on the host."""
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Scenes(Dataset):
    def __init__(self, n=600, side=96):
        self.n, self.side = n, side

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        g = torch.Generator().manual_seed(i)
        k = int(torch.randint(1, 7, (1,), generator=g))
        boxes = torch.rand(k, 4, generator=g) * 0.4 + 0.3
        labels = torch.randint(0, 5, (k,), generator=g)
        picture = torch.rand(3, self.side, self.side, generator=g)
        for (cx, cy, w, h), label in zip((boxes * self.side).int().tolist(), labels.tolist()):
            picture[label % 3, max(0, cy - h // 2) : cy + h // 2, max(0, cx - w // 2) : cx + w // 2] += 0.5
        return picture, {"labels": labels, "boxes": boxes}


def collate_fn(batch):
    return torch.stack([picture for picture, _ in batch]), [target for _, target in batch]


class HungarianMatcher(nn.Module):
    @torch.no_grad()
    def forward(self, outputs, targets):
        bs, num_queries = outputs["pred_logits"].shape[:2]
        prob, boxes = outputs["pred_logits"].flatten(0, 1).softmax(-1), outputs["pred_boxes"].flatten(0, 1)
        ids, wanted = torch.cat([t["labels"] for t in targets]), torch.cat([t["boxes"] for t in targets])
        C = (5 * torch.cdist(boxes, wanted, p=1) - prob[:, ids]).view(bs, num_queries, -1).cpu()
        sizes = [len(t["boxes"]) for t in targets]
        found = [linear_sum_assignment(c[i]) for i, c in enumerate(C.split(sizes, -1))]
        return [(torch.as_tensor(i, dtype=torch.int64), torch.as_tensor(j, dtype=torch.int64)) for i, j in found]


class Detr(nn.Module):
    def __init__(self, width=128, queries=25, classes=5):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 48, 5, 2, 2), nn.ReLU(), nn.Conv2d(48, 96, 3, 2, 1), nn.ReLU(), nn.Conv2d(96, width, 3, 2, 1), nn.ReLU())
        self.places, self.queries = nn.Parameter(torch.randn(144, width) * 0.02), nn.Parameter(torch.randn(queries, width))
        self.transformer = nn.Transformer(width, 4, 2, 2, 4 * width, 0.1, batch_first=True)
        self.classes, self.boxes = nn.Linear(width, classes + 1), nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 4))

    def forward(self, x):
        memory = self.backbone(x).flatten(2).transpose(1, 2) + self.places
        hs = self.transformer(memory, self.queries.expand(len(x), -1, -1))
        return {"pred_logits": self.classes(hs), "pred_boxes": self.boxes(hs).sigmoid()}


def criterion(outputs, targets, matcher):
    indices = matcher(outputs, targets)
    batch = torch.cat([torch.full_like(src, i) for i, (src, _) in enumerate(indices)])
    src = torch.cat([src for src, _ in indices])
    labels = torch.full(outputs["pred_logits"].shape[:2], 5)
    labels[batch, src] = torch.cat([t["labels"][j] for t, (_, j) in zip(targets, indices)])
    wanted = torch.cat([t["boxes"][j] for t, (_, j) in zip(targets, indices)])
    return F.cross_entropy(outputs["pred_logits"].transpose(1, 2), labels) + 5 * F.l1_loss(outputs["pred_boxes"][batch, src], wanted)


def main():
    torch.manual_seed(42)
    loader = DataLoader(Scenes(), batch_size=4, shuffle=True, collate_fn=collate_fn, num_workers=2)
    model, matcher = Detr(), HungarianMatcher()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=1e-4)
    for epoch in range(300):
        model.train()
        for step, (samples, targets) in enumerate(loader):
            loss = criterion(model(samples), targets, matcher)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
            if step % 20 == 0:
                print(f"Epoch [{epoch}] [{step}/{len(loader)}] loss {loss.item():.4f}", flush=True)


if __name__ == "__main__":
    main()
