"""Every knob, set between two updates and taken back: nothing of it is left, and a refusal leaves nothing either."""

from __future__ import annotations

from pathlib import Path

import live
import pytest

from advisor import knobs

pytestmark = pytest.mark.slow

VALUES = {knob.id: knob.example for knob in knobs.all_knobs()}
SNAPSHOT = """
import gc, random, sys
import torch.utils.data.dataloader as dataloaders

gc.unfreeze()  # the server that this process was forked from has frozen its own
gc.set_threshold(700, 10, 10)  # the tests' interpreters collect less often

def shape_of(value):
    '''What can be compared: tensors by their bytes and layout, functions and objects by what they are.'''
    if isinstance(value, torch.Tensor):
        return (value.dtype, tuple(value.shape), value.stride(), value.requires_grad, value.detach().clone())
    if isinstance(value, dict):
        return {key: shape_of(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [shape_of(item) for item in value]
    if isinstance(value, (int, float, str, bool, bytes, type(None), torch.dtype)):
        return value
    return (type(value), id(value))

def snapshot(model, optimizer, loader):
    modules = {
        name: (type(module), {key: shape_of(value) for key, value in vars(module).items()
                              if key not in ('_parameters', '_buffers', '_modules')})
        for name, module in model.named_modules()
    }
    return {
        'modules': modules,
        'state': shape_of(model.state_dict()),
        'gradients': [shape_of(parameter.grad) for parameter in model.parameters()],
        'optimizer': (type(optimizer), shape_of(optimizer.state_dict()), shape_of(optimizer.defaults)),
        'loader': {key: shape_of(value) for key, value in vars(loader).items()},
        'switches': (
            torch.get_num_threads(), torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark,
            torch.backends.cudnn.allow_tf32, torch.get_default_dtype(), torch.is_autocast_enabled('cpu'),
            torch.is_grad_enabled(), gc.isenabled(), gc.get_threshold(),
            gc.get_freeze_count(),
        ),
        'random': (torch.get_rng_state().clone(), random.getstate()),
    }

def equal(one, other):
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        same_keys = isinstance(other, dict) and one.keys() == other.keys()
        return same_keys and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(equal, one, other))
    return one == other

def differences(one, other):
    return [key for key in one if not equal(one[key], other[key])]

def switched(name, value, updates_with):
    '''Set after the third update, taken back `updates_with` updates later; what differs then, and the losses.'''
    torch.manual_seed(0)
    model = Net()
    optimizer = adamw(model)
    loader = images()
    said = {}
    done = clock.updates
    def on_update(update):
        number = clock.updates - done
        if number == 3:
            said['before'] = snapshot(model, optimizer, loader)
            try:
                controls.set_config({name: value})
                said['set'] = True
            except Refused as refused:
                said['set'] = str(refused)
            if not updates_with:
                controls.set_config({})
                said['after'] = snapshot(model, optimizer, loader)
        if updates_with and number == 3 + updates_with:
            controls.set_config({})
            said['after'] = snapshot(model, optimizer, loader)
    clock.on_update = on_update
    for batch, index in loader:
        loss = torch.nn.functional.cross_entropy(model(batch), index % 4)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    controls.set_config({})
    return said
hook()
from advisor.agent.loop.schedulers import ScheduleHold
from advisor.agent.settings.precision import Precision
from advisor.agent.settings.scaling import Scaler
controls.precision = Precision(roots, scaler=Scaler(steps, ScheduleHold(), print))
"""


@pytest.mark.parametrize("name", sorted(VALUES))
def test_nothing_is_left_of_a_setting_that_is_taken_back_at_once(name: str, tmp_path: Path) -> None:
    code = (
        f"said = switched({name!r}, {VALUES[name]!r}, 0)\n"
        "print(said['set'], differences(said['before'], said['after']))"
    )
    said = live.says(tmp_path, SNAPSHOT, code)
    assert said.endswith(" []"), said


@pytest.mark.parametrize("name", sorted(set(VALUES) - {"compile"}))
def test_nor_of_one_that_has_stood_for_two_updates(name: str, tmp_path: Path) -> None:
    """What trains on meanwhile is another matter: weights, their gradients, the optimizer's state, what was drawn."""
    code = (
        f"said = switched({name!r}, {VALUES[name]!r}, 2)\n"
        "trained = {'state', 'gradients', 'optimizer', 'random'}\n"
        "print(said['set'], sorted(set(differences(said['before'], said['after'])) - trained))"
    )
    said = live.says(tmp_path, SNAPSHOT, code)
    assert said.endswith(" []"), said
