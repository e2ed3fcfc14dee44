"""Node classification on one big graph, full batch (two graph convolutions)."""
import argparse

import torch
import torch.nn.functional as F
from torch import nn


def citation_graph(nodes, edges, features, classes):
    y = torch.randint(0, classes, (nodes,))
    source = torch.randint(0, nodes, (edges,))
    # most links stay within a class
    same = torch.rand(edges) < 0.8
    shuffled = torch.argsort(y * nodes + torch.rand(nodes).mul(nodes).long())
    neighbour = shuffled[(torch.argsort(shuffled)[source] + torch.randint(1, 50, (edges,))) % nodes]
    target = torch.where(same, neighbour, torch.randint(0, nodes, (edges,)))
    index = torch.cat([torch.stack([source, target]), torch.stack([target, source]), torch.arange(nodes).repeat(2, 1)], 1)
    adjacency = torch.sparse_coo_tensor(index, torch.ones(index.shape[1]), (nodes, nodes)).coalesce()
    degree = torch.sparse.sum(adjacency, 1).to_dense()
    row, column = adjacency.indices()
    values = adjacency.values() / (degree[row] * degree[column]).sqrt()
    adjacency = torch.sparse_coo_tensor(adjacency.indices(), values, (nodes, nodes)).to_sparse_csr()
    x = F.one_hot(y, classes).float() @ torch.randn(classes, features) + 4 * torch.randn(nodes, features)
    return adjacency, x, y


class GCN(nn.Module):
    def __init__(self, inputs, hidden, classes):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, hidden), nn.Linear(hidden, classes)

    def forward(self, a, x):
        x = F.dropout(torch.relu(a @ self.first(x)), 0.5, self.training)
        return a @ self.second(x)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=5000)
    parser.add_argument("--hidden", type=int, default=32)
    args = parser.parse_args()
    torch.manual_seed(0)
    a, x, y = citation_graph(6000, 150_000, 32, 7)
    train = torch.rand(len(y)) < 0.5
    model = GCN(x.shape[1], args.hidden, 7)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
    for epoch in range(args.epochs):
        model.train()
        optimizer.zero_grad()
        out = model(a, x)
        loss = F.cross_entropy(out[train], y[train])
        loss.backward()
        optimizer.step()
        if epoch % 100 == 0:
            accuracy = (out[~train].argmax(1) == y[~train]).float().mean()
            print(f"Epoch {epoch:04d} loss {loss.item():.4f} acc {accuracy:.4f}", flush=True)
