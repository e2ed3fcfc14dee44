"""Momentum and weight decay, set between two updates and taken back."""

from __future__ import annotations

import textwrap
from pathlib import Path

import child
import pytest
from live import LIMIT_S, LOOP

PARTS = """
hook()
def run(make, at, updates=6):
    '''Losses, and the main optimizer, of a training with the settings in `at`: number of the update → configuration.'''
    clock.updates = 0
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 2))
    optimizer = make(model)
    def on_update(update):
        if clock.updates in at:
            controls.set_config(at[clock.updates])
    clock.on_update = on_update
    losses = []
    for _ in range(updates):
        loss = (model(torch.ones(3, 4)) - 1).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    controls.set_config({})
    return losses, optimizer
def sgd(**more):
    return lambda model: torch.optim.SGD(model.parameters(), lr=0.01, **more)
"""


def says(folder: Path, code: str) -> str:
    return child.says(folder, LOOP, PARTS, textwrap.dedent(code), limit_s=LIMIT_S)


@pytest.mark.parametrize(
    ("value", "written"),
    [("0.9", "momentum=0.9"), ("'nesterov 0.9'", "momentum=0.9, nesterov=True"), ("0.0", "momentum=0.0")],
)
def test_the_steps_are_those_of_an_optimizer_made_so(value: str, written: str, tmp_path: Path) -> None:
    code = f"""
    plain = run(sgd({written}), {{}})[0]
    empty = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.01)
    def make(model):
        optimizer = sgd()(model)
        controls.set_config({{"momentum": {value}}})
        return optimizer
    print(run(make, {{}})[0] == plain, run(sgd(), {{}})[0] == plain)
    """
    assert says(tmp_path, code) == f"True {value == '0.0'}"


def test_momentum_taken_back_leaves_no_state(tmp_path: Path) -> None:
    code = """
    losses, optimizer = run(sgd(), {2: {"momentum": 0.9}, 4: {}})
    print([entry for entry in optimizer.state.values() if entry], optimizer.param_groups[0]["momentum"])
    """
    assert says(tmp_path, code) == "[] 0"


def test_the_scripts_own_momentum_comes_back_with_its_state(tmp_path: Path) -> None:
    code = """
    losses, optimizer = run(sgd(momentum=0.5), {2: {"momentum": "nesterov 0.9"}, 4: {}})
    group = optimizer.param_groups[0]
    print(group["momentum"], group["nesterov"], all("momentum_buffer" in e for e in optimizer.state.values()))
    """
    assert says(tmp_path, code) == "0.5 False True"


def test_the_first_beta_of_adam(tmp_path: Path) -> None:
    code = """
    make = lambda model: torch.optim.Adam(model.parameters(), lr=0.01)
    seen = []
    losses, optimizer = run(make, {1: {"momentum": 0.5}, 3: {}})
    plain = run(make, {})[0]
    print(losses[:2] == plain[:2], losses[2:] != plain[2:], optimizer.param_groups[0]["betas"])
    """
    assert says(tmp_path, code) == "True True (0.9, 0.999)"


@pytest.mark.parametrize(
    ("make", "setting", "why"),
    [
        ("torch.optim.Adagrad", {"momentum": 0.5}, "Adagrad has no momentum"),
        ("torch.optim.Adam", {"momentum": "nesterov 0.5"}, "Adam has no momentum in Nesterov's form"),
        ("torch.optim.LBFGS", {"weight_decay": 0.1}, "LBFGS has no weight decay"),
    ],
)
def test_an_optimizer_without_a_place_for_it_refuses(
    make: str, setting: dict[str, object], why: str, tmp_path: Path
) -> None:
    code = f"""
    optimizer = {make}(torch.nn.Linear(2, 2).parameters())
    before = dict(optimizer.param_groups[0])
    try:
        controls.set_config({setting})
    except Refused as refused:
        print(refused, before == optimizer.param_groups[0])
    """
    assert says(tmp_path, code) == f"{why} True"


def test_groups_without_decay_stay_without_and_others_keep_their_ratio(tmp_path: Path) -> None:
    code = """
    first, second, third = (torch.nn.Parameter(torch.ones(2)) for _ in range(3))
    optimizer = torch.optim.AdamW(
        [{"params": [first], "weight_decay": 0.2}, {"params": [second], "weight_decay": 0.0},
         {"params": [third], "weight_decay": 0.1}]
    )
    decays = lambda: [group["weight_decay"] for group in optimizer.param_groups]
    controls.set_config({"weight_decay": 0.02})
    print(decays())
    controls.set_config({})
    print(decays())
    """
    assert says(tmp_path, code) == "[0.02, 0.0, 0.01]\n[0.2, 0.0, 0.1]"
