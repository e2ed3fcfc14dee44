"""A training loop in a process of its own, untouched or with the agent's hooks, whose settings are switched."""

from __future__ import annotations

from pathlib import Path

import child

LIMIT_S = 120
LOOP = """
import torch
from torch.utils.data import DataLoader, Dataset
from advisor.agent.settings.controls import Controls
from advisor.agent.settings.precision import Precision
from advisor.agent.loop.clock import StepClock
from advisor.agent.loader.hooks import LoaderHooks
from advisor.refused import Refused
from advisor.agent.loop.roots import Roots
from advisor.agent.loop.steps import Steps

clock = StepClock()
roots, steps, loaders = Roots(clock), Steps(clock), LoaderHooks(clock)
controls = Controls(clock, roots, steps, loaders, Precision(roots))
ROOM = 16

def hook():
    '''From here on the agent sees all that is trained, as in a probe.'''
    def before_step():
        owned = steps.owned_parameters()
        roots.seek(owned, owned)
    def training(root, args, kwargs):
        steps.forward_seen = True
        loaders.saw_training_forward()
    steps.before_step, roots.on_training = before_step, training
    steps.install()
    loaders.install()

class Images(Dataset):
    '''Image i and its number; with `noise` it draws a random number for each.'''
    def __init__(self, length=24, noise=False):
        self.length, self.noise = length, noise
    def __len__(self):
        return self.length
    def __getitem__(self, index):
        image = torch.linspace(-1, 1, 3 * 64).reshape(3, 8, 8) * (index % 7 + 1)
        return image + torch.rand(()) if self.noise else image, index

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.convolutions = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3, padding=1, bias=False),  # a bias would have a gradient of nothing but rounding
            torch.nn.BatchNorm2d(8),
            torch.nn.ReLU(),
            torch.nn.Conv2d(8, 8, 3),
        )
        self.head = torch.nn.Linear(8 * 36, 4)
    def forward(self, images):
        return self.head(torch.nn.functional.dropout(self.convolutions(images).flatten(1), 0.1, self.training))

def images(**settings):
    return DataLoader(Images(), batch_size=4, shuffle=True, **settings)

def adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=1e-3)

class Result:
    def __init__(self):
        self.losses, self.parameters, self.epochs, self.optimizer, self.model = [], [], [], None, None
    def same(self, other):
        '''Bit for bit.'''
        return self.losses == other.losses and all(map(torch.equal, self.parameters, other.parameters))
    def close(self, other, rtol=1e-4):
        losses = torch.allclose(torch.tensor(self.losses), torch.tensor(other.losses), rtol=rtol, atol=1e-5)
        return losses and all(
            torch.allclose(a, b, rtol=rtol, atol=1e-4) for a, b in zip(self.parameters, other.parameters)
        )

def train(at=None, epochs=4, make_loader=images, make_optimizer=adamw, make_model=Net, edit=False, look=None):
    '''`at`: number of the update → the configuration that stands after it.'''
    at = at or {}
    done = clock.updates
    def on_update(update):
        number = clock.updates - done
        if number in at:
            controls.set_config(at[number])
        if look:
            look(number)
    clock.on_update = on_update
    torch.manual_seed(0)
    result = Result()
    model = result.model = make_model()
    optimizer = result.optimizer = make_optimizer(model)
    loader = make_loader()
    for _ in range(epochs):
        seen = []
        for batch, index in loader:
            if edit:
                batch.mul_(0.5)
            loss = torch.nn.functional.cross_entropy(model(batch), index % 4)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            result.losses.append(loss.item())
            seen += index.tolist()
        result.epochs.append(seen)
    result.parameters = [parameter.detach().clone() for parameter in model.parameters()]
    controls.set_config({})
    return result
"""


def says(tmp_path: Path, *code: str) -> str:
    """What the pieces of code print, run after LOOP."""
    return child.says(tmp_path, LOOP, *code, limit_s=LIMIT_S)
