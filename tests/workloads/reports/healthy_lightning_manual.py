"""Domain adaptation in Lightning by hand: two optimizers, one step of each for every batch."""
import lightning as L
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy


class Pairs(torch.utils.data.IterableDataset):
    """Whole batches of two domains, drawn from tables in memory."""

    def __init__(self, n=20_000, features=256, batch=1024):
        g = torch.Generator().manual_seed(0)
        self.y = torch.randint(0, 10, (n,), generator=g)
        centre = torch.randn(10, features, generator=g)
        self.source = centre[self.y] + torch.randn(n, features, generator=g)
        self.other = centre[self.y] * 1.3 + 0.4 + torch.randn(n, features, generator=g)
        self.batch = batch

    def __iter__(self):
        for _ in range(200):
            a, b = torch.randint(0, len(self.y), (2, self.batch))
            yield self.source[a], self.y[a], self.other[b]


class Adapter(L.LightningModule):
    def __init__(self, features=256, width=768):
        super().__init__()
        self.automatic_optimization = False
        self.body = nn.Sequential(nn.Linear(features, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.label = nn.Linear(width, 10)
        self.domain = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

    def training_step(self, batch, _):
        x, y, other = batch
        of_model, of_domain = self.optimizers()
        seen, unseen = self.body(x), self.body(other)
        guess = self.domain(torch.cat([seen, unseen]).detach()).squeeze(1)
        origin = torch.cat([torch.ones(len(seen)), torch.zeros(len(unseen))])
        loss_d = binary_cross_entropy_with_logits(guess, origin.to(guess.dtype))
        of_domain.zero_grad()
        self.manual_backward(loss_d)
        of_domain.step()
        fooled = self.domain(unseen).squeeze(1)
        loss = cross_entropy(self.label(seen), y) + 0.1 * binary_cross_entropy_with_logits(fooled, torch.ones_like(fooled))
        of_model.zero_grad()
        self.manual_backward(loss)
        of_model.step()

    def configure_optimizers(self):
        model = [*self.body.parameters(), *self.label.parameters()]
        return torch.optim.Adam(model, 3e-4, fused=True), torch.optim.Adam(self.domain.parameters(), 3e-4, fused=True)


if __name__ == "__main__":
    L.seed_everything(0)
    loader = torch.utils.data.DataLoader(Pairs(), batch_size=None)
    L.Trainer(
        max_epochs=30, accelerator="cpu", precision="bf16-mixed", logger=False, enable_checkpointing=False,
        enable_progress_bar=False,
    ).fit(Adapter(), loader)  # fmt: skip
