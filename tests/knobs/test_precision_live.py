"""The precision switched in a running loop: what autocast written by hand is, and what was there before."""

from __future__ import annotations

from pathlib import Path

import child
import pytest

LIMIT_S = 120
LOOP = """
import torch
from advisor.agent.loop.clock import StepClock
from advisor.agent.settings.precision import Precision
from advisor.agent.loop.roots import Roots
from advisor.agent.loop.steps import Steps

clock = StepClock()
roots, steps = Roots(clock), Steps(clock)
precision = Precision(roots)

def before_step():
    precision.close()
    owned = steps.owned_parameters()
    roots.seek(owned, owned)

def loop(updates, by_hand=lambda number: False, switch=lambda number: None, body=None):
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(32, 4)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for number in range(updates):
        batch, target = torch.randn(16, 8), torch.randint(0, 4, (16,))
        switch(number)
        if body:
            body(model, batch)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=by_hand(number)):
            loss = torch.nn.functional.cross_entropy(model(batch), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, [parameter.detach().tolist() for parameter in model.parameters()]

def hook():
    steps.before_step = before_step
    steps.before_backward = precision.close
    steps.install()

def window(first, last):
    def switch(number):
        if number == first:
            precision.set("bf16")
        if number == last:
            precision.restore()
    return switch
"""


def says(tmp_path: Path, code: str) -> str:
    return child.says(tmp_path, LOOP, code, limit_s=LIMIT_S)


def test_a_window_of_bf16_is_autocast_written_by_hand_bit_for_bit(tmp_path: Path) -> None:
    code = """
    wanted = loop(30, by_hand=lambda number: 5 <= number < 25)
    hook()
    print(loop(30, switch=window(5, 25)) == wanted)
    """
    assert says(tmp_path, code) == "True"


def test_bf16_rounds_otherwise_so_that_equality_says_something(tmp_path: Path) -> None:
    assert says(tmp_path, "print(loop(20) == loop(20, by_hand=lambda number: True))") == "False"


def test_hooks_with_nothing_set_leave_the_training_as_it_is(tmp_path: Path) -> None:
    code = """
    wanted = loop(20)
    hook()
    print(loop(20) == wanted)
    """
    assert says(tmp_path, code) == "True"


def test_after_restoring_the_script_goes_on_as_one_that_was_never_touched(tmp_path: Path) -> None:
    code = """
    wanted = loop(20)
    hook()
    loop(20, switch=window(5, 12))
    print(loop(20) == wanted, torch.is_autocast_enabled("cpu"))
    """
    assert says(tmp_path, code) == "True False"


def test_an_evaluation_closes_with_its_forward(tmp_path: Path) -> None:
    code = """
    seen = set()

    def body(model, batch):
        with torch.no_grad():
            dtype = model(batch).dtype
        seen.add((dtype, torch.is_autocast_enabled("cpu")))

    hook()
    loop(8, switch=window(2, 99), body=body)
    print(sorted(map(str, seen)))
    """
    assert says(tmp_path, code) == "['(torch.bfloat16, False)', '(torch.float32, False)']"


def test_weights_cast_in_an_evaluation_are_not_those_that_are_trained(tmp_path: Path) -> None:
    code = """
    def evaluate(model, batch):
        state = torch.get_rng_state()
        with torch.no_grad():
            model(batch)
        torch.set_rng_state(state)

    wanted = loop(20, by_hand=lambda number: 2 <= number)
    hook()
    print(loop(20, switch=window(2, 99), body=evaluate) == wanted)
    """
    assert says(tmp_path, code) == "True"


@pytest.mark.parametrize("name", ["fp16", "fp7"])
def test_a_precision_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    code = f"""
    from advisor.refused import Refused
    try:
        precision.set({name!r})
    except Refused as refusal:
        print(refusal)
    """
    assert name in says(tmp_path, code)


def test_the_scripts_own_autocast_wins(tmp_path: Path) -> None:
    code = """
    wanted = loop(12, by_hand=lambda number: True)
    hook()
    print(loop(12, by_hand=lambda number: True, switch=window(3, 9)) == wanted)
    """
    assert says(tmp_path, code) == "True"
