"""Two graph convolutions on a citation graph, full batch; a test pass with every update, as the example has it."""
import time

import torch
import torch.nn.functional as F

torch.manual_seed(0)
n, features, classes = 2708, 1433, 7
x = (torch.rand(n, features) < 0.013).float()
y = torch.randint(0, classes, (n,))
edges = torch.randint(0, n, (2, 10_556))
train_mask, val_mask, test_mask = torch.arange(n) < 140, (torch.arange(n) >= 140) & (torch.arange(n) < 640), torch.arange(n) >= 1708


class GCNConv(torch.nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.lin, self.bias = torch.nn.Linear(a, b, bias=False), torch.nn.Parameter(torch.zeros(b))

    def forward(self, x, edge_index):
        loops = torch.arange(x.size(0)).repeat(2, 1)
        row, col = torch.cat([edge_index, loops], 1)
        deg = torch.zeros(x.size(0)).scatter_add_(0, col, torch.ones_like(col, dtype=torch.float32)).pow(-0.5)
        x = self.lin(x)
        message = x[row] * (deg[row] * deg[col])[:, None]
        return torch.zeros_like(x).index_add_(0, col, message) + self.bias


class GCN(torch.nn.Module):
    def __init__(self, hidden=16):
        super().__init__()
        self.conv1, self.conv2 = GCNConv(features, hidden), GCNConv(hidden, classes)

    def forward(self, x, edge_index):
        x = F.dropout(x, p=0.5, training=self.training)
        x = F.dropout(self.conv1(x, edge_index).relu(), p=0.5, training=self.training)
        return self.conv2(x, edge_index)


model = GCN()
optimizer = torch.optim.Adam([
    {"params": model.conv1.parameters(), "weight_decay": 5e-4}, {"params": model.conv2.parameters(), "weight_decay": 0}
], lr=0.01)


def train():
    model.train()
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x, edges)[train_mask], y[train_mask])
    loss.backward()
    optimizer.step()
    return float(loss)


@torch.no_grad()
def test():
    model.eval()
    pred = model(x, edges).argmax(dim=-1)
    return [int((pred[mask] == y[mask]).sum()) / int(mask.sum()) for mask in (train_mask, val_mask, test_mask)]


best, times = 0.0, []
for epoch in range(1, 20_001):
    start = time.time()
    loss = train()
    train_acc, val_acc, test_acc = test()
    best = max(best, val_acc)
    times.append(time.time() - start)
    print(f"Epoch: {epoch:03d}, Loss: {loss:.4f}, Train: {train_acc:.4f}, Val: {val_acc:.4f}, Test: {test_acc:.4f}", flush=True)
