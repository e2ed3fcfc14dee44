"""Rates of a real training while another rate, or another schedule, is set, and after it was taken back."""

from __future__ import annotations

import textwrap
from pathlib import Path

import child
import pytest
from live import LIMIT_S, LOOP

PARTS = """
import json, math
said = []
controls.rates.begin(UPDATES, said.append)
used, logged = [], []
hook()

class Seen(torch.optim.SGD):
    '''Notes the rates that each step runs with.'''
    @torch.no_grad()
    def step(self, closure=None):
        used.append([round(float(group["lr"]), 8) for group in self.param_groups])
        return super().step(closure)

def loop(updates, at=None, schedule=None, write=None, groups=False, make=None, when="after"):
    '''`at`: number of the update → configuration; `write` is called with (optimizer, number) before each forward.'''
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 2))
    parts = [{"params": model[0].parameters()}, {"params": model[1].parameters(), "lr": 0.02}]
    optimizer = (make or Seen)(parts if groups else model.parameters(), lr=0.1)
    scheduler = schedule(optimizer) if schedule else None
    def on_update(update):
        if clock.updates in (at or {}):
            controls.set_config(at[clock.updates])
    clock.on_update = on_update
    if at and 0 in at:
        controls.set_config(at[0])
    for number in range(updates):
        if write:
            write(optimizer, number)
        loss = model(torch.ones(3, 4) * number / updates).square().sum() + 1
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        logged.append(round(float(optimizer.param_groups[0]["lr"]), 8))
        if scheduler:
            scheduler.step(1.0) if "Plateau" in type(scheduler).__name__ else scheduler.step()
    return optimizer, scheduler
def first():
    return [rates[0] for rates in used]
"""


def says(folder: Path, code: str, updates: float | None = None) -> str:
    parts = PARTS.replace("UPDATES", repr(updates))
    return child.says(folder, LOOP, parts, textwrap.dedent(code), limit_s=LIMIT_S)


def test_all_groups_keep_their_ratio(tmp_path: Path) -> None:
    code = """
    optimizer, _ = loop(4, {1: {"learning_rate": 0.3}, 3: {}}, groups=True)
    print(used, [group["lr"] for group in optimizer.param_groups])
    """
    assert says(tmp_path, code) == f"{[[0.1, 0.02], [0.3, 0.06], [0.3, 0.06], [0.1, 0.02]]} [0.1, 0.02]"


@pytest.mark.parametrize(
    "schedule",
    [
        "lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda n: 0.5 ** n)",
        "lambda o: torch.optim.lr_scheduler.StepLR(o, 2, 0.5)",
        "lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 5, eta_min=0.01)",
        "lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 3, eta_min=0.01)",
        "lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=10, cycle_momentum=False)",
        "lambda o: torch.optim.lr_scheduler.CyclicLR(o, 0.01, 0.1, 2, cycle_momentum=False)",
        "lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, patience=0, min_lr=0.03)",
        "lambda o: torch.optim.lr_scheduler.SequentialLR(o, [torch.optim.lr_scheduler.LinearLR(o, 0.1, total_iters=2),"
        " torch.optim.lr_scheduler.ExponentialLR(o, 0.9)], [2])",
    ],
    ids=["lambda", "step", "cosine", "restarts", "one_cycle", "cyclic", "plateau", "sequential"],
)
@pytest.mark.parametrize("at", [0, 2])
def test_the_scripts_schedule_goes_on_scaled(schedule: str, at: int, tmp_path: Path) -> None:
    """With three times the rate, each step's rate is three times the one without; taken back, it is the script's."""
    code = f"""
    make = {schedule}
    loop(8, schedule=make)
    plain, plain_logged = first(), list(logged)
    used.clear(), logged.clear()
    clock.updates = 0
    optimizer, scheduler = loop(8, {{{at}: {{"learning_rate": 0.3}}, 6: {{}}}}, schedule=make)
    ratios = [round(one / other, 4) for one, other in zip(first(), plain)]
    print(ratios, logged[2:5] == first()[2:5], scheduler.get_last_lr()[0] == optimizer.param_groups[0]["lr"], said)
    """
    ratios = [1.0] * at + [3.0] * (6 - at) + [1.0] * 2
    assert says(tmp_path, code) == f"{ratios} True True []"


def test_rates_written_by_hand_are_multiplied_and_it_is_told(tmp_path: Path) -> None:
    code = """
    def write(optimizer, number):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 / (number + 1)
    optimizer, _ = loop(5, {1: {"learning_rate": 0.3}, 4: {}}, write=write)
    print(first(), logged[1:3] == first()[1:3], optimizer.param_groups[0]["lr"] == 0.1 / 5, said)
    """
    rates = [0.1, 0.15, 0.1, 0.075, 0.02]
    told = "the script writes its learning rates into the optimizer's groups: they are multiplied by 3 before each step"
    assert says(tmp_path, code) == f"{rates} True True {[told]}"


def test_what_the_script_makes_of_the_rate_it_reads_is_kept(tmp_path: Path) -> None:
    code = """
    def write(optimizer, number):
        if number == 3:
            optimizer.param_groups[0]["lr"] *= 0.5
    optimizer, _ = loop(6, {1: {"learning_rate": 3.0}, 5: {}}, write=write)
    print(first(), optimizer.param_groups[0]["lr"], said)
    """
    assert says(tmp_path, code) == "[0.1, 3.0, 3.0, 1.5, 1.5, 0.05] 0.05 []"


def test_a_rate_written_before_the_first_update_is_a_fraction_of_what_the_optimizer_was_made_with(
    tmp_path: Path,
) -> None:
    code = """
    def write(optimizer, number):
        optimizer.param_groups[0]["lr"] = 0.1 * (number + 1) / 4
        if number == 0:
            controls.set_config({"learning_rate": 0.2})
    loop(4, write=write)
    print(first())
    """
    assert says(tmp_path, code) == "[0.05, 0.1, 0.15, 0.2]"


def test_groups_and_schedulers_made_later_are_scaled_once(tmp_path: Path) -> None:
    code = """
    more = torch.nn.Linear(2, 2)
    def write(optimizer, number):
        if number == 2:
            optimizer.add_param_group({"params": [more.weight], "lr": 0.05})
            optimizer.add_param_group({"params": [more.bias]})
        if number == 3:
            global late
            late = torch.optim.lr_scheduler.OneCycleLR(optimizer, [0.1, 0.05, 0.1], total_steps=9,
                                                       div_factor=1, cycle_momentum=False)
    optimizer, _ = loop(5, {1: {"learning_rate": 0.3}}, write=write)
    controls.set_config({})
    print(used[2], used[3], [group["lr"] for group in optimizer.param_groups], optimizer.defaults["lr"])
    """
    assert says(tmp_path, code) == "[0.3, 0.15, 0.3] [0.3, 0.15, 0.3] [0.1, 0.05, 0.1] 0.1"


def test_a_second_optimizer_keeps_its_ratio(tmp_path: Path) -> None:
    code = """
    small = torch.nn.Linear(1, 1)
    other = torch.optim.Adam(small.parameters(), lr=0.001)
    loop(3, {1: {"learning_rate": 0.3}})
    print(other.param_groups[0]["lr"])
    controls.set_config({})
    print(other.param_groups[0]["lr"])
    """
    assert says(tmp_path, code).split() == [str(0.001 * (0.3 / 0.1)), "0.001"]


def test_a_rate_of_zero_is_refused(tmp_path: Path) -> None:
    code = """
    def make(parameters, lr):
        return Seen(parameters, lr=0.0)
    try:
        loop(3, {1: {"learning_rate": 0.3}}, make=make)
    except Refused as why:
        print(why, controls.settings)
    """
    assert says(tmp_path, code) == "the script's learning rate is 0, to which others have no ratio {}"


def test_a_schedule_replaces_the_scripts_and_goes_back_to_it(tmp_path: Path) -> None:
    code = """
    half = lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.5)
    optimizer, scheduler = loop(8, {2: {"lr_schedule": "linear"}, 6: {}}, schedule=half)
    print(first(), logged[2:5] == first()[2:5], scheduler.last_epoch, said)
    """
    rates = [0.1, 0.05, 0.1, 0.075, 0.05, 0.025, 0.025, 0.0125]
    # The script's step after the sixth update comes after the schedule was taken back.
    assert says(tmp_path, code, updates=4) == f"{rates} True 4 []"


def test_a_schedule_overrides_rates_written_by_hand(tmp_path: Path) -> None:
    code = """
    def write(optimizer, number):
        optimizer.param_groups[0]["lr"] = 0.1 / (number + 1)
    optimizer, _ = loop(4, {0: {"lr_schedule": "linear", "learning_rate": 0.4}, 4: {}}, write=write)
    print(first(), logged[:3] == first()[:3], optimizer.param_groups[0]["lr"])
    """
    assert says(tmp_path, code, updates=4) == "[0.4, 0.3, 0.2, 0.1] True 0.025"


def test_a_held_scheduler_reports_the_rate_in_force(tmp_path: Path) -> None:
    code = """
    half = lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.5)
    _, scheduler = loop(3, {0: {"lr_schedule": "cosine"}}, schedule=half)
    print(round(scheduler.get_last_lr()[0], 8) == used[-1][0] < 0.1)
    """
    assert says(tmp_path, code, updates=9) == "True"


def test_the_warm_up_is_a_fraction_of_the_training(tmp_path: Path) -> None:
    code = """
    loop(5, {0: {"lr_schedule": "constant", "warm_up_fraction": 0.3}})
    print(first())
    """
    assert says(tmp_path, code, updates=10) == "[0.025, 0.05, 0.075, 0.1, 0.1]"


@pytest.mark.parametrize("name", ["linear", "cosine", "one_cycle", "wsd", "inverse_sqrt", "plateau"])
def test_a_schedule_without_a_length_is_refused(name: str, tmp_path: Path) -> None:
    code = f"""
    try:
        loop(3, {{1: {{"lr_schedule": {name!r}}}}})
    except Refused as why:
        print(why)
    print(controls.settings, first())
    """
    assert says(tmp_path, code) == (
        f"the schedule {name} needs the training's length, which is unknown: give its updates (the option "
        "`updates`, or that entry of advisor.yaml)\n{} [0.1]"
    )


def test_the_end_of_the_schedule_is_told_once(tmp_path: Path) -> None:
    code = """
    loop(6, {0: {"lr_schedule": "linear"}})
    print(first()[3:], said)
    """
    told = "the training goes on past the 3 updates that its learning-rate schedule was made for"
    assert says(tmp_path, code, updates=3) == f"{[0.0, 0.0, 0.0]} {[told]}"


def test_a_plateau_schedule_halves_the_rate_when_the_loss_stays(tmp_path: Path) -> None:
    code = """
    def write(optimizer, number):
        for group in optimizer.param_groups:
            group["params"][0].data.zero_()
    loop(40, {0: {"lr_schedule": "plateau"}}, write=write)
    rates = first()
    print(rates[0], rates[-1] < 0.03, sorted(rates, reverse=True) == rates)
    """
    assert says(tmp_path, code, updates=40) == "0.1 True True"


def test_a_closure_steps_with_the_rate(tmp_path: Path) -> None:
    code = """
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=2)
    seen = []
    def closure():
        optimizer.zero_grad()
        loss = model(torch.ones(3, 2)).square().sum()
        loss.backward()
        seen.append(optimizer.param_groups[0]["lr"])
        return loss
    optimizer.step(closure)
    controls.set_config({"learning_rate": 0.25})
    optimizer.step(closure)
    controls.set_config({})
    print(sorted(set(seen)), optimizer.param_groups[0]["lr"])
    """
    assert says(tmp_path, code) == "[0.25, 0.5] 0.5"
