"""A larger batch takes its learning rate with it, while a step runs and at no other time."""

from __future__ import annotations

import textwrap
from pathlib import Path

import child
import pytest
from live import LIMIT_S, LOOP

from advisor import knobs
from advisor.knobs.global_batch import WARM_UP_UPDATES, rate_factor

SEEN = """
class Seen(torch.optim.SGD if KIND == "SGD" else torch.optim.AdamW):
    '''Notes the rate that each step runs with, and the one that the script sees afterwards.'''
    rates = []
    @torch.no_grad()
    def step(self, closure=None):
        self.rates.append(self.param_groups[0]["lr"])
        return super().step(closure)
Seen.__name__ = KIND
def make(model):
    Seen.rates.clear()
    return Seen(model.parameters(), lr=0.01)
own = []
def look(number):
    own.append([group["lr"] for item in steps.optimizers() for group in item[0].param_groups][0])
"""


def says(folder: Path, code: str, kind: str = "AdamW") -> str:
    return child.says(folder, LOOP + f"KIND = {kind!r}" + SEEN + textwrap.dedent(code), limit_s=LIMIT_S)


def test_the_rate_of_adam_grows_as_the_square_root_and_comes_back(tmp_path: Path) -> None:
    code = """
    hook()
    train(at={2: {"global_batch": 16}, 6: {}}, epochs=3, make_optimizer=make, look=look)
    print([round(rate, 6) for rate in Seen.rates[:8]], set(own))
    """
    assert says(tmp_path, code) == f"{[0.01] * 2 + [0.02] * 4 + [0.01] * 2} {{0.01}}"


def test_the_rate_of_sgd_grows_in_proportion_step_by_step(tmp_path: Path) -> None:
    code = """
    hook()
    train(at={2: {"global_batch": 16}}, epochs=3, make_optimizer=make, look=look)
    print([round(rate / 0.01 - 1, 6) for rate in Seen.rates[:5]], set(own))
    """
    grown = [round(3 * step / WARM_UP_UPDATES, 6) for step in (1, 2, 3)]
    assert says(tmp_path, code, "SGD") == f"{[0.0, 0.0, *grown]} {{0.01}}"


def test_what_is_saved_is_the_scripts_own_rate_and_its_schedule_goes_on_from_it(tmp_path: Path) -> None:
    code = """
    schedules = []
    def with_schedule(model):
        optimizer = make(model)
        schedules.append(torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5))
        return optimizer
    def look(number):
        schedules[0].step()
    hook()
    optimizer = train(at={2: {"global_batch": 8}}, make_optimizer=with_schedule, look=look).optimizer
    own = [0.01 * 0.5**number for number in range(len(Seen.rates) + 1)]
    saved = optimizer.state_dict()["param_groups"][0]["lr"]
    print(saved == own[-1], schedules[0].get_last_lr() == [saved])
    print([round(stepped / rate, 3) for stepped, rate in zip(Seen.rates, own)][:4])
    """
    assert says(tmp_path, code) == "True True\n[1.0, 1.0, 1.414, 1.414]"


def test_a_step_that_fails_raises_the_rate_no_twice(tmp_path: Path) -> None:
    code = """
    hook()
    class Failing(Seen):
        def step(self, closure=None):
            super().step(closure)
            if len(self.rates) == 4:
                raise ArithmeticError
    Failing.__name__ = "AdamW"
    optimizer = None
    def make(model):
        global optimizer
        optimizer = Failing(model.parameters(), lr=0.01)
        return optimizer
    try:
        train(at={2: {"global_batch": 16}}, make_optimizer=make)
    except ArithmeticError:
        optimizer.rates.append(None)
        try:
            optimizer.step()
        finally:
            print([rate and round(rate, 6) for rate in optimizer.rates], optimizer.param_groups[0]["lr"])
    """
    assert says(tmp_path, code) == "[0.01, 0.01, 0.02, 0.02, None, 0.02] 0.01"


@pytest.mark.parametrize(("kind", "steps", "factor"), [("SGD", 0, 1.015), ("SGD", 199, 4.0), ("SGD", 9999, 4.0)])
def test_the_warm_up_ends(kind: str, steps: int, factor: float) -> None:
    assert rate_factor(4.0, kind, steps) == pytest.approx(factor)


def test_the_knob_needs_the_steps_for_as_long_as_it_is_set() -> None:
    assert "steps" in knobs.get("global_batch").hooks
