"""optimizer: Muon for hidden matrices and decoupled decay, as somebody would write them by hand."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path

import child
import pytest
from live import LIMIT_S, LOOP

from advisor import knobs
from advisor.rules._examples import evolve, healthy_cpu, optimizer

KNOB = knobs.get("optimizer")
PARTS = """
from torch import nn
from torch.optim import Adam, AdamW, Muon

class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(32, 24)
        self.first, self.second = nn.Linear(24, 40), nn.Linear(40, 24)
        self.attention = nn.MultiheadAttention(24, 2, batch_first=True)
        self.head = nn.Linear(24, 32)
    def forward(self, tokens):
        inner = self.second(torch.relu(self.first(self.embed(tokens))))
        return self.head(inner + self.attention(inner, inner, inner, need_weights=False)[0])
    def hidden(self):
        return [self.first.weight, self.second.weight, self.attention.in_proj_weight, self.attention.out_proj.weight]

def loop(model, step, updates=8, at=None):
    losses = []
    for number in range(updates):
        tokens = torch.arange(24).reshape(2, 12) + number % 4
        loss = nn.functional.cross_entropy(model(tokens).flatten(0, 1), (tokens.flatten() * 7) % 32)
        model.zero_grad()
        loss.backward()
        step(number)
        losses.append(loss.item())
    return losses

def made(kind=AdamW, **settings):
    torch.manual_seed(0)
    model = Small()
    return model, kind(model.parameters(), lr=0.01, **settings)

def switched(at, kind=AdamW, schedule=False, **settings):
    '''`at`: number of updates → the configuration after them.'''
    model, optimizer = made(kind, **settings)
    rates = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5) if schedule else None
    done = clock.updates
    clock.on_update = lambda update: controls.set_config(at.get(clock.updates - done, controls.settings))
    def step(number):
        if number == 0 and 0 in at:
            controls.set_config(at[0])
        optimizer.step()
        if rates:
            rates.step()
    losses = loop(model, step)
    return losses, model, optimizer

def by_hand(schedule=False):
    '''One step of AdamW, then Muon for the hidden matrices.'''
    torch.manual_seed(0)
    model = Small()
    hidden = {id(weight) for weight in model.hidden()}
    rest = AdamW([parameter for parameter in model.parameters() if id(parameter) not in hidden], lr=0.01)
    before = AdamW(model.hidden(), lr=0.01)
    muon = Muon(model.hidden(), lr=0.01, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    rates = torch.optim.lr_scheduler.StepLR(rest, 2, 0.5) if schedule else None
    def step(number):
        muon.param_groups[0]["lr"] = rest.param_groups[0]["lr"]
        rest.step()
        (muon if number else before).step()
        if rates:
            rates.step()
    return loop(model, step), model

def same(one, other):
    return all(map(torch.equal, one.parameters(), other.parameters()))
"""


def says(folder: Path, code: str) -> str:
    return child.says(folder, LOOP, PARTS, textwrap.dedent(code), limit_s=LIMIT_S)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", [False, True])
def test_muon_is_what_one_would_write_by_hand(tmp_path: Path, schedule: bool) -> None:
    code = f"""
    wanted, model = by_hand(schedule={schedule})
    hook()
    losses, own, optimizer = switched({{1: {{"optimizer": "muon"}}}}, schedule={schedule})
    print(losses == wanted, same(own, model), losses[-1] < losses[0])
    """
    assert says(tmp_path, code) == "True True True"


@pytest.mark.slow
def test_taken_back_nothing_of_it_is_left(tmp_path: Path) -> None:
    code = """
    model, optimizer = made()
    hook()
    losses, own, optimizer = switched({1: {"optimizer": "muon"}, 4: {}})
    steps = {int(state["step"]) for state in optimizer.state.values()}
    hooks = len(optimizer._optimizer_step_pre_hooks) + len(optimizer._optimizer_step_post_hooks)
    print(sorted(steps), hooks, all(weight.grad is not None for weight in own.hidden()))
    """
    # The hidden matrices were left out for three steps.
    assert says(tmp_path, code) == "[5, 8] 0 True"


@pytest.mark.slow
def test_our_own_optimizer_is_not_taken_for_the_scripts(tmp_path: Path) -> None:
    code = """
    from advisor.agent.loop.steps import all_optimizers
    hook()
    losses, own, optimizer = switched({1: {"optimizer": "muon"}})
    print([type(one).__name__ for one in all_optimizers()], [type(one).__name__ for one, _, _ in steps.optimizers()],
          clock.updates)
    """
    assert says(tmp_path, code) == "['AdamW'] ['AdamW'] 8"


@pytest.mark.slow
def test_decoupled_decay_makes_adamw_of_adam(tmp_path: Path) -> None:
    code = """
    model, optimizer = made(AdamW, weight_decay=0.1)
    wanted = loop(model, lambda number: optimizer.step())
    del optimizer
    hook()
    losses, own, optimizer = switched({0: {"optimizer": "adamw"}}, Adam, weight_decay=0.1)
    controls.set_config({})
    print(losses == wanted, same(own, model), [group["decoupled_weight_decay"] for group in optimizer.param_groups])
    """
    assert says(tmp_path, code) == "True True [False]"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("value", "script", "why"),
    [
        ("muon", "made()", "no optimizer has stepped yet"),
        ("adamw", "made(Adam)", "Adam has no weight decay that could be decoupled"),
        ("muon", "switched({}, AdamW)", ""),
    ],
)
def test_what_a_script_cannot_take_is_refused(tmp_path: Path, value: str, script: str, why: str) -> None:
    code = f"""
    hook()
    kept = {script}
    try:
        controls.set_config({{"optimizer": {value!r}}})
        print("")
    except Refused as refused:
        print(refused)
    """
    assert says(tmp_path, code) == why


def test_values_depend_on_the_optimizer_the_model_and_torch() -> None:
    def values(class_name: str, torch: str = "2.13.0", **layers: int) -> tuple[object, ...]:
        evidence = evolve(healthy_cpu(), {"workload": {"optimizers": (optimizer(class_name=class_name),)}})
        (model, *_others) = evidence.workload.models
        workload = replace(
            evidence.workload,
            models=(replace(model, layers=layers),),
            facts=replace(evidence.workload.facts, packages={"torch": torch}),
        )
        return tuple(KNOB.values(evidence.hardware, workload).values)

    assert values("AdamW", Linear=3) == ("muon",)
    assert values("Adam", Linear=3) == ("muon", "adamw")
    assert values("Adam", Linear=2) == ("adamw",)
    assert values("AdamW", torch="2.8.1", Linear=3) == ()
    assert values("SGD", Linear=3) == ()
