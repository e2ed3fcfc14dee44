"""Range tests inside a real training: what they report, and that the training continues as if there had been none."""

from __future__ import annotations

import textwrap
from pathlib import Path

import child
import pytest
from live import LIMIT_S, LOOP

PARTS = """
import math
from advisor import wire
from advisor.agent.probe.range_test import RangeTest

hook()
controls.rates.begin(None, print)

class Samples(Dataset):
    def __init__(self):
        generator = torch.Generator().manual_seed(3)
        self.inputs = torch.randn(160, 8, generator=generator)
        self.targets = (self.inputs[:, 0] > 0).long() + 2 * (self.inputs[:, 1] > 0).long()
    def __len__(self):
        return 160
    def __getitem__(self, index):
        return self.inputs[index] + 0.1 * torch.rand(8), self.targets[index]

def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

def window(**options):
    return wire.Window(id="test", kind="range_test", max_s=60.0, options={"updates": 120, **options})

def train(
    updates, test_at=None, make=sgd, schedule=None, each=None, batches=None, step=None, abandon_at=None,
):
    '''Losses of so many updates of the script's own; those of the test are left out.'''
    clock.updates = 0
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(8, 16), torch.nn.BatchNorm1d(16), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(16, 4)
    )
    optimizer = make(model)
    scheduler = schedule(optimizer) if schedule else None
    loader = DataLoader(Samples(), batch_size=16, shuffle=True)
    loaders.deliveries.hold_ends = True
    loaders.deliveries.tape = None
    state = {"own": 0, "losses": [], "test": None, "found": None, "refused": None}
    def on_update(update):
        test = state["test"]
        if test is not None:
            try:
                state["seen"] = state.get("seen", 0) + 1
                if state["seen"] == abandon_at:
                    raise Refused("enough")
                if test.saw(update):
                    state["found"], state["test"] = test.found, None
            except Refused as why:
                test.abandon()
                state["refused"], state["test"] = str(why), None
            return
        state["own"] += 1
        state["losses"].append(float(update.loss))
        if state["own"] == test_at:
            try:
                state["test"] = RangeTest(controls, window())
            except Refused as why:
                state["refused"] = str(why)
    clock.on_update = on_update
    number = 0
    while state["own"] < updates:
        for inputs, targets in batches() if batches else loader:
            number += 1
            if each:
                each(optimizer, number)
            loss = torch.nn.functional.cross_entropy(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            step(optimizer, loss) if step else optimizer.step()
            if scheduler:
                scheduler.step()
            if state["own"] >= updates:
                break
    return state
"""


def says(folder: Path, code: str) -> str:
    return child.says(folder, LOOP, PARTS, textwrap.dedent(code), limit_s=LIMIT_S)


@pytest.mark.parametrize(
    "how",
    [
        "",
        "make=lambda m: torch.optim.Adam(m.parameters(), lr=0.01)",
        "schedule=lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9)",
    ],
    ids=["sgd", "adam", "schedule"],
)
def test_the_training_goes_on_as_if_there_had_been_none(how: str, tmp_path: Path) -> None:
    code = f"""
    plain = train(20, {how})
    tested = train(20, test_at=8, {how})
    print(plain["losses"] == tested["losses"], tested["found"]["updates"] > 60, len(set(plain["losses"])))
    """
    assert says(tmp_path, code) == "True True 20"


@pytest.mark.parametrize("updates", [2, 30, 60])
def test_nor_after_one_that_was_abandoned(updates: int, tmp_path: Path) -> None:
    code = f"""
    tested = train(20, test_at=8, abandon_at={updates})
    print(tested["refused"], train(20)["losses"] == tested["losses"])
    """
    assert says(tmp_path, code) == "enough True"


def test_sweeps_have_the_same_batches_and_raise_the_rate_until_the_loss_diverges(tmp_path: Path) -> None:
    code = """
    found = train(20, test_at=8)["found"]
    sweeps, reference = found["sweeps"], found["reference"]
    print(found["script_rate"], found["control_difference"], found["notes"], len(sweeps), found["updates"] <= 120)
    print([abs(sweep["losses"][0] - reference[0]) < 1e-6 for sweep in sweeps])
    print([sweep["ended"] for sweep in sweeps], sweeps[0]["rates"][0] == 0.0001)
    print(all(sweep["rates"] == sorted(sweep["rates"]) for sweep in sweeps), len(set(reference)) > 20)
    """
    lines = says(tmp_path, code).splitlines()
    assert lines[0] == "0.01 0.0 [] 3 True"
    assert lines[1] == "[True, True, True]"
    assert "diverged" in lines[2]
    assert lines[2].endswith("True")
    assert lines[3] == "True True"


def test_rates_written_by_hand_are_overridden_in_the_test(tmp_path: Path) -> None:
    code = """
    seen = []
    def each(optimizer, number):
        optimizer.param_groups[0]["lr"] = 0.01 / number
    plain = train(20, each=each)
    state = train(20, test_at=8, each=each)
    found = state["found"]
    print(len(found["sweeps"]), found["script_rate"], found["counters"], found["reference"] == [])
    """
    # Rates that follow the script's counter are others after a return, which the two first passes show.
    said = says(tmp_path, code)
    assert said.startswith("3 0.01 ['number'")
    assert said.endswith("True")


def test_batches_from_a_counter_are_told_by_the_control(tmp_path: Path) -> None:
    code = """
    inputs, targets = torch.randn(400, 16, 8), torch.randint(4, (400, 16))
    def batches():
        for place in range(400):
            yield inputs[place], targets[place]
    found = train(20, test_at=8, batches=batches)["found"]
    print(found["control_difference"] > 1e-4, found["reference"], len(found["sweeps"]))
    """
    assert says(tmp_path, code) == "True [] 3"


def test_adversarial_trainings_are_refused(tmp_path: Path) -> None:
    code = """
    other = torch.nn.Linear(8, 1)
    critic = torch.optim.Adam(other.parameters())
    def each(optimizer, number):
        critic.zero_grad()
        other(torch.randn(4, 8)).mean().backward()
        critic.step()
    print(train(20, test_at=8, each=each)["refused"])
    """
    assert says(tmp_path, code) == (
        "the script steps 2 optimizers in turn, each after a backward of its own, as adversarial trainings do: the "
        "curve of one loss does not show the other"
    )


def test_two_optimizers_of_one_loss_are_swept(tmp_path: Path) -> None:
    code = """
    class Two:
        '''Two optimizers of one model, as a script keeps them.'''
        def __init__(self, model):
            self.parts = [torch.optim.SGD(model[0].parameters(), lr=0.01),
                          torch.optim.Adam(model[1:].parameters(), lr=0.001)]
        def zero_grad(self):
            [part.zero_grad() for part in self.parts]
        def step(self):
            [part.step() for part in self.parts]
    plain = train(20, make=Two)
    state = train(20, make=Two, test_at=8)
    print(state["refused"], state["losses"] == plain["losses"], len(state["found"]["sweeps"]))
    """
    assert says(tmp_path, code) == "None True 3"


def test_a_loss_that_is_no_number_ends_the_sweep_and_is_taken_back(tmp_path: Path) -> None:
    code = """
    def step(optimizer, loss):
        optimizer.step()
        if optimizer.param_groups[0]["lr"] > 0.05:
            optimizer.param_groups[0]["params"][0].data.fill_(float("nan"))
    plain = train(20, step=step)
    state = train(20, test_at=8, step=step)
    print([sweep["ended"] for sweep in state["found"]["sweeps"]], state["losses"] == plain["losses"])
    """
    assert says(tmp_path, code) == "['not finite', 'not finite', 'not finite'] True"


def test_a_closure_is_swept(tmp_path: Path) -> None:
    code = """
    model = torch.nn.Linear(4, 1)
    inputs = torch.randn(32, 4)
    targets = inputs.sum(1, keepdim=True)
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.01, max_iter=2)
    def closure():
        optimizer.zero_grad()
        loss = (model(inputs) - targets).square().mean()
        loss.backward()
        return loss
    state = {}
    def on_update(update):
        if clock.updates == 4:
            state["test"] = RangeTest(controls, window())
        elif clock.updates > 4 and "found" not in state and state["test"].saw(update):
            state["found"] = state["test"].found
    clock.on_update = on_update
    for _ in range(130):
        optimizer.step(closure)
    print(len(state["found"]["sweeps"]), state["found"]["control_difference"], optimizer.param_groups[0]["lr"])
    """
    assert says(tmp_path, code) == "3 0.0 0.01"


def test_a_training_by_hand_is_refused(tmp_path: Path) -> None:
    code = """
    weight = torch.nn.Parameter(torch.ones(3))
    refused = set()
    def on_update(update):
        try:
            RangeTest(controls, window())
        except Refused as why:
            refused.add(str(why))
    clock.on_update = on_update
    for _ in range(20):
        (weight * 2).sum().backward()
        weight.data -= 0.01 * weight.grad
    print(refused)
    """
    assert "by hand" in says(tmp_path, code)
