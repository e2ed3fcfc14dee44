"""evaluation_batch: whole evaluations get larger batches of the same samples; scripts that count them keep theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import forked
import pytest
from live import says
from real_training import beside_the_settings

from advisor import knobs, rules
from advisor.rules._examples import evolve, healthy_cpu, train_loader
from advisor.types import Evidence

KNOB = knobs.get("evaluation_batch")
EVALUATED = """
def roles(weak):
    loaders.saw_evaluation_forward()

def evaluated(at=None, workers=0, length=None, some=None, drop_last=False, renewed=False, iterable=False):
    '''Five epochs, each with an evaluation. Losses of the training, sizes of the evaluation's batches, its figures.'''
    at = at or {}
    roots.on_evaluation = roles
    done = clock.updates
    def on_update(update):
        if clock.updates - done in at:
            controls.set_config(at[clock.updates - done])
    clock.on_update = on_update
    torch.manual_seed(0)
    model = Net()
    optimizer = adamw(model)
    training = images()
    def make():
        return DataLoader(Images(10), batch_size=2, num_workers=workers, drop_last=drop_last)
    held_out = make()
    before = len(held_out) if length == 'before' else None
    losses, sizes, figures = [], [], []
    for _ in range(5):
        model.train()
        for batch, index in training:
            loss = torch.nn.functional.cross_entropy(model(batch), index % 4)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        seen, total, read = [], 0.0, []
        held_out = make() if renewed else held_out
        count = len(held_out) if length == 'above' else before
        with torch.no_grad():
            for number, (batch, index) in enumerate(held_out):
                if number == some:
                    break
                total += torch.nn.functional.cross_entropy(model(batch), index % 4).item()
                seen.append(len(batch))
                read += index.tolist()
        figures.append(round(total / (count or len(held_out) if length else 1), 4))
        sizes.append(seen)
        assert read == list(range(len(read)))
    controls.set_config({})
    return losses, sizes, figures
"""
SMALL, LARGE = [2, 2, 2, 2, 2], [5, 5]


def values(evidence: Evidence) -> Any:
    return KNOB.values(evidence.hardware, evidence.workload)


def with_loaders(*loaders: Any, **workload: Any) -> Evidence:
    found: Evidence = evolve(healthy_cpu(), {"workload": {"loaders": loaders, **workload}})
    return found


def test_it_goes_up_to_twice_the_trainings_batch() -> None:
    loaders = train_loader(batch_size=64), train_loader(id=1, role="evaluation", batch_size=1)
    assert values(with_loaders(*loaders)).values == (128, 64)
    loaders = train_loader(batch_size=64), train_loader(id=1, role="evaluation", batch_size=64)
    assert values(with_loaders(*loaders)).values == (128,)
    assert "evaluation_batch" in rules.get("evaluation_heavy").helpful_knobs


def test_what_closes_it_is_said() -> None:
    train, held_out = train_loader(batch_size=64), train_loader(id=1, role="evaluation", batch_size=128)
    assert "no DataLoader" in values(with_loaders(train)).why_closed
    assert "not smaller than 128" in values(with_loaders(train, held_out)).why_closed
    assert "lightning runs the evaluation" in values(with_loaders(train, held_out, framework="lightning")).why_closed
    assert "unknown" in values(with_loaders(held_out)).why_closed


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("renewed", [False, True])
def test_evaluations_have_larger_batches_while_it_stands_and_losses_are_the_same(
    tmp_path: Path, workers: int, renewed: bool
) -> None:
    code = f"""
    hook()
    wanted = evaluated(workers={workers}, renewed={renewed})
    switched = evaluated({{8: {{"evaluation_batch": 5}}, 20: {{}}}}, workers={workers}, renewed={renewed})
    print(switched[0] == wanted[0], controls.broken)
    print(switched[1])
    """
    said = says(tmp_path, EVALUATED, code).splitlines()
    assert said == ["True {}", str([SMALL, LARGE, LARGE, SMALL, SMALL])]


@pytest.mark.slow
@pytest.mark.parametrize("length", ["after", "above"])
@pytest.mark.parametrize("renewed", [False, True])
def test_averages_over_the_loaders_length_stay_what_they_are(tmp_path: Path, length: str, renewed: bool) -> None:
    """Five batches of two, or two of five: the mean of the means is the same."""
    code = f"""
    hook()
    wanted = evaluated(length={length!r}, renewed={renewed})
    switched = evaluated({{2: {{"evaluation_batch": 5}}, 26: {{}}}}, length={length!r}, renewed={renewed})
    print(switched[1], controls.broken)
    print(max(abs(one - other) for one, other in zip(switched[2], wanted[2])) < 2e-4)
    """
    assert says(tmp_path, EVALUATED, code).splitlines() == [f"{[*[LARGE] * 4, SMALL]} {{}}", "True"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ("length='before'", "the script keeps the number of its evaluation's batches from before"),
        ("some=3", "the evaluation reads only some of its loader's batches"),
        ("drop_last=True", "the evaluation's loader drops its last batch (drop_last=True)"),
    ],
)
def test_a_script_that_counts_batches_keeps_its_own(tmp_path: Path, settings: str, why: str) -> None:
    """Set from the beginning it is given up at the first evaluation; later it is refused at once."""
    code = f"""
    hook()
    first = evaluated({{1: {{"evaluation_batch": 5}}}}, {settings})
    print(set(map(str, first[1])) == {{str(first[1][0])}}, controls.broken)
    controls.broken = {{}}
    try:
        evaluated({{8: {{"evaluation_batch": 5}}}}, {settings})
    except Refused as refused:
        print(refused)
    """
    assert says(tmp_path, EVALUATED, code).splitlines() == [f"True {{'evaluation_batch': {why!r}}}", why]


@pytest.mark.slow
def test_batches_that_are_large_already_are_left(tmp_path: Path) -> None:
    code = """
    hook()
    try:
        evaluated({8: {"evaluation_batch": 2}})
    except Refused as refused:
        print(refused)
    """
    assert says(tmp_path, EVALUATED, code) == "the evaluation's batches are not smaller than 2 samples"


SCRIPT = """
import torch
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x, y = torch.randn(60, 8), torch.randint(0, 4, (60,))
train, held_out = DataLoader(TensorDataset(x, y), batch_size=6, shuffle=True), DataLoader(TensorDataset(x, y))
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
for _ in range(4):
    model.train()
    for batch, target in train:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(batch), target).backward()
        optimizer.step()
    model.eval()
    total, batches = 0.0, 0
    with torch.no_grad():
        for batch, target in held_out:
            total += torch.nn.functional.cross_entropy(model(batch), target).item()
            batches += 1
    print(batches, round(total / len(held_out), 4))
"""


@pytest.mark.slow
def test_a_real_training_evaluates_with_larger_batches_from_the_second_time_on(tmp_path: Path) -> None:
    (tmp_path / "advisor.yaml").write_text("version: 1\nsettings: {evaluation_batch: 12}\n")
    (tmp_path / "train.py").write_text(SCRIPT)
    by_itself = forked.run(tmp_path, "train.py", limit_s=120)
    assert (by_itself.code, by_itself.err) == (0, "")
    done = forked.advisor(tmp_path, "run", "--config", "advisor.yaml", "train.py", limit_s=120)
    assert (done.returncode, beside_the_settings(done.stderr)) == (0, "")
    alone, run = ([line.split() for line in text.splitlines()] for text in (by_itself.out, done.stdout))
    assert [count for count, _ in alone] == ["60"] * 4
    assert [count for count, _ in run] == ["60", "5", "5", "5"]
    assert [float(figure) for _, figure in run] == pytest.approx([float(figure) for _, figure in alone], abs=2e-4)
