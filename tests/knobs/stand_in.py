"""A device that is not here: tensors copied to `meta` are clones on the host, and how they were copied is noted."""

from __future__ import annotations

DEVICE = """
import os
from advisor.agent.loader.device_copies import CopyBackend
from advisor.agent.loop import copies

copies._STAYS = ('cpu',)
calls = []
host_to = torch.Tensor.to

def to(tensor, *args, **kwargs):
    '''The stand-in's driver.'''
    if args and args[0] == 'meta':
        calls.append((os.getpid(), kwargs.get('non_blocking', False), stream[0]))
        return tensor.clone()
    return host_to(tensor, *args, **kwargs)

torch.Tensor.to = to
stream = ['default']

class StandIn(CopyBackend):
    pinned = True
    handed = 0
    def check(self):
        pass
    def is_pinned(self, tensor):
        return self.pinned
    def on_default_stream(self):
        return stream[0] == 'default'
    def copy_ahead(self, copy, device):
        stream[0] = 'ahead'
        try:
            return copy(), 'event'
        finally:
            stream[0] = 'default'
    def hand_over(self, result, event):
        assert event == 'event'
        self.handed += 1

backend = controls.device_copies.backend = StandIn()
ITSELF = torch.Tensor.to

def train_there(at=None, write=False, loader=images, twice=False, look=None):
    '''A training that copies its batches; the losses.'''
    at = at or {}
    done = clock.updates
    def on_update(update):
        if clock.updates - done in at:
            controls.set_config(at[clock.updates - done])
        if look:
            look(clock.updates - done)
    clock.on_update = on_update
    torch.manual_seed(0)
    model, losses = Net(), []
    optimizer = adamw(model)
    source = loader()
    for _ in range(4):
        for batch, index in source:
            there, target = batch.to('meta'), index.to('meta')
            again = batch.to('meta') if twice else there
            if write:
                batch.mul_(2)
            loss = torch.nn.functional.cross_entropy(model(there + again), target % 4)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    controls.set_config({})
    return losses
"""
