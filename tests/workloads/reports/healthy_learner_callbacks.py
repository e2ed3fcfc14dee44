"""A Learner with callbacks, as notebook libraries have them; hooks are set once, numbers are read once an epoch."""
import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset


class Callback:
    def __getattr__(self, name):
        if name.startswith(("before_", "after_")):
            return lambda learner: None
        raise AttributeError(name)


class Recorder(Callback):
    def before_epoch(self, learner):
        self.total, self.seen = torch.zeros(()), 0

    def after_step(self, learner):
        self.total += learner.loss.detach()
        self.seen += 1

    def after_epoch(self, learner):
        print(f"epoch {learner.epoch} loss {self.total.item() / self.seen:.4f}", flush=True)


class Schedule(Callback):
    def after_step(self, learner):
        learner.scheduler.step()


class Learner:
    def __init__(self, data, model, callbacks, lr=2e-3, epochs=60):
        self.data, self.model, self.callbacks, self.epochs = data, model, callbacks, epochs
        self.optimizer = torch.optim.AdamW(model.parameters(), lr, fused=True)
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, lr, total_steps=epochs * len(data))

    def call(self, name):
        for callback in self.callbacks:
            getattr(callback, name)(self)

    def fit(self):
        for self.epoch in range(self.epochs):
            self.call("before_epoch")
            for self.batch in self.data:
                self.one_step()
            self.call("after_epoch")

    def one_step(self):
        x, y = self.batch
        self.call("before_step")
        with torch.autocast("cpu", torch.bfloat16):
            self.loss = nn.functional.cross_entropy(self.model(x).float(), y)
        self.loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.call("after_step")


torch.manual_seed(0)
labels = torch.randint(0, 20, (65_536,))
table = torch.randn(20, 512)[labels] + 2 * torch.randn(65_536, 512)
rows = TensorDataset(table, labels)
loader = DataLoader(rows, sampler=BatchSampler(RandomSampler(rows), 1024, drop_last=True), batch_size=None)
net = nn.Sequential(nn.Linear(512, 1024), nn.GELU(), nn.Linear(1024, 1024), nn.GELU(), nn.Linear(1024, 20))
Learner(loader, net, [Recorder(), Schedule()]).fit()
