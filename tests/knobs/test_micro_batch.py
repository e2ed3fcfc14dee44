"""micro_batch: the same update in smaller backwards, and what it is closed for."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import child
import pytest

from advisor import knobs
from advisor.rules._examples import evolve, healthy_cpu, model, optimizer, train_loader
from advisor.types import Evidence

LIMIT_S = 120
LOOP = """
import torch
from torch.utils.data import DataLoader, TensorDataset
from advisor.agent.settings.controls import Controls
from advisor.agent.loop.clock import StepClock
from advisor.agent.loader.hooks import LoaderHooks
from advisor.agent.settings.precision import Precision
from advisor.refused import Refused
from advisor.agent.loop.roots import Roots
from advisor.agent.settings.scaling import Scaler
from advisor.agent.loop.schedulers import ScheduleHold
from advisor.agent.loop.steps import Steps

clock = StepClock()
roots, steps, loaders = Roots(clock), Steps(clock), LoaderHooks(clock)
precision = Precision(roots, scaler=Scaler(steps, ScheduleHold(), print))
controls = Controls(clock=clock, roots=roots, steps=steps, loaders=loaders, precision=precision)
updates, plan = [], {}

def before_step():
    precision.close()

def saw_training(root, args, kwargs):
    steps.forward_seen = True
    loaders.saw_training_forward()

def on_update(update):
    updates.append(update)
    controls.saw_update(update.micro_steps)
    if clock.updates in plan:
        controls.set_config(plan[clock.updates])

def hook(**wanted):
    roots.on_training = saw_training
    steps.before_step, steps.before_backward = before_step, precision.close
    loaders.deliveries.before_batch = precision.close
    clock.on_update = on_update
    steps.install()
    loaders.install()
    plan.update({int(after[1:]): config for after, config in wanted.items()})

def made(kind="sgd", dropout=0.0, schedule="onecycle"):
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(8, 32), torch.nn.LayerNorm(32), torch.nn.GELU(), torch.nn.Dropout(dropout),
        torch.nn.Linear(32, 4),
    ).double()
    if kind == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    owned = {id(parameter) for parameter in model.parameters()}
    roots.seek(owned, owned)
    if schedule == "onecycle":
        return model, optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=64)
    return model, optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.8)

def data(samples=100, size=16, **options):
    generator = torch.Generator().manual_seed(1)
    tensors = TensorDataset(
        torch.randn(samples, 8, generator=generator).double(), torch.randint(0, 4, (samples,), generator=generator)
    )
    return DataLoader(tensors, batch_size=size, shuffle=True, generator=torch.Generator().manual_seed(2), **options)

def cross_entropy(scores, target):
    return torch.nn.functional.cross_entropy(scores, target)

def train(
    kind="sgd", clip=None, epochs=3, dropout=0.0, schedule="onecycle", zero="before", loss_of=cross_entropy, **options
):
    model, optimizer, rates = made(kind, dropout, schedule)
    rounds = 0
    for epoch in range(epochs):
        for batch, target in data(**options):
            rounds += 1
            if zero == "before":
                optimizer.zero_grad()
            loss = loss_of(model(batch), target)
            loss.backward()
            if clip:
                torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            if zero == "after":
                model.zero_grad()
            elif zero == "in place":
                optimizer.zero_grad(set_to_none=False)
            if schedule == "onecycle":
                rates.step()
        if schedule != "onecycle":
            rates.step()
    return [p.detach() for p in model.parameters()], rates.get_last_lr(), rates.last_epoch, rounds

def apart(found, wanted):
    return max((a - b).abs().max().item() for a, b in zip(found[0], wanted[0]))

def same(found, wanted):
    return apart(found, wanted) < 1e-12 and found[1:3] == wanted[1:3]
"""


def says(tmp_path: Path, code: str) -> str:
    return child.says(tmp_path, LOOP, code, limit_s=LIMIT_S)


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    [
        "kind='sgd'",
        "kind='adamw'",
        "kind='sgd', clip=0.05, zero='after'",
        "kind='adamw', clip=0.05, zero='in place'",
        "kind='adamw', schedule='of epochs'",
        "kind='sgd', num_workers=2, persistent_workers=True",
    ],
)
@pytest.mark.parametrize("size", [8, 5])
def test_an_update_in_parts_is_the_update_in_one(tmp_path: Path, how: str, size: int) -> None:
    """Three epochs of seven updates, the last of an epoch short; in double precision nothing but an error shows."""
    code = f"""
    wanted = train({how})
    hook(_1={{"micro_batch": {size}}})
    found = train({how})
    print(same(found, wanted), clock.updates, found[3] > wanted[3])
    """
    assert says(tmp_path, code) == "True 21 True"


@pytest.mark.parametrize("how", ["kind='sgd'", "kind='adamw', clip=0.05"])
def test_in_single_precision_it_differs_by_rounding_only(tmp_path: Path, how: str) -> None:
    code = f"""
    torch.Tensor.double = torch.nn.Module.double = lambda self: self
    wanted = train({how})
    hook(_1={{"micro_batch": 4}})
    print(0 < apart(train({how}), wanted) < 1e-6, clock.updates)
    """
    assert says(tmp_path, code) == "True 21"


def test_without_the_shares_it_would_be_another_training_so_that_equality_says_something(tmp_path: Path) -> None:
    code = """
    wanted = train()
    hook(_1={"micro_batch": 8})
    import advisor.agent.settings.accumulation
    advisor.agent.settings.accumulation.scaled = lambda tensors, args, kwargs, factor: (args, kwargs)
    print(same(train(), wanted))
    """
    assert says(tmp_path, code) == "False"


def test_an_update_has_the_samples_the_loss_and_the_backwards_of_its_batch(tmp_path: Path) -> None:
    code = """
    hook()
    train(epochs=2)
    whole = [(update.samples, update.loss) for update in updates]
    updates.clear()
    plan[clock.updates + 1] = {"micro_batch": 8}
    train(epochs=2)
    print([update.samples for update in updates] == [samples for samples, _ in whole])
    print(max(abs(update.loss - loss) for update, (_, loss) in zip(updates, whole)) < 1e-12)
    print([update.micro_steps for update in updates], controls.micro_steps)
    """
    assert says(tmp_path, code).splitlines() == ["True", "True", "[1, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1] 1"]


def test_two_backwards_of_one_forward_are_one_part(tmp_path: Path) -> None:
    code = """
    def twice(scores, target):
        loss = cross_entropy(scores, target)
        (loss / 4).backward(retain_graph=True)
        return 3 * loss / 4

    wanted = train(loss_of=twice, zero="after")
    hook(_1={"micro_batch": 8})
    found = train(loss_of=twice, zero="after")
    print(same(found, wanted), {update.micro_steps for update in updates}, max(update.loss for update in updates) < 0.5)
    """
    assert says(tmp_path, code) == "True {1, 2} True"


def test_parts_and_a_larger_batch_go_together_whichever_comes_first(tmp_path: Path) -> None:
    code = """
    hook(_1={"micro_batch": 8}, _3={"micro_batch": 8, "global_batch": 32}, _5={"global_batch": 32})
    train(epochs=1, samples=240)
    print([(update.samples, update.micro_steps) for update in updates])
    """
    assert says(tmp_path, code) == "[(16, 1), (16, 2), (16, 2), (32, 4), (32, 4), (32, 1), (32, 1), (32, 1), (32, 1)]"


def test_after_switching_back_the_script_goes_on_as_one_that_was_never_touched(tmp_path: Path) -> None:
    code = """
    clip = torch.nn.utils.clip_grad_norm_
    wanted = train(clip=0.05)
    hook(_3={"micro_batch": 8}, _6={}, _9={"micro_batch": 4}, _12={})
    print(same(train(clip=0.05), wanted), clock.updates, torch.nn.utils.clip_grad_norm_ is clip)
    print(steps.interventions, torch.optim.lr_scheduler.LRScheduler.step.__module__)
    """
    assert says(tmp_path, code).splitlines() == ["True 21 True", "{} torch.optim.lr_scheduler"]


def test_clipping_that_the_script_has_imported_by_name_is_held_too(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("from torch.nn.utils import clip_grad_norm_ as clip\n")
    code = """
    import own
    torch_own = torch.nn.utils.clip_grad_norm_
    wanted = train(clip=0.05)
    hook(_1={"micro_batch": 8})
    torch.nn.utils.clip_grad_norm_ = lambda parameters, norm: own.clip(parameters, norm)
    print(same(train(clip=0.05), wanted))
    """
    assert says(tmp_path, code) == "True"


def test_dropout_and_parts_train(tmp_path: Path) -> None:
    code = """
    hook(_1={"micro_batch": 8})
    controls.accumulation.checks = 2
    train(dropout=0.1, epochs=4, schedule="of epochs")
    print(clock.updates, controls.broken, controls.settings)
    """
    assert says(tmp_path, code) == "28 {} {'micro_batch': 8}"


def test_fp16_and_parts_are_fp16_with_accumulation_by_hand(tmp_path: Path) -> None:
    code = """
    torch.Tensor.double = torch.nn.Module.double = lambda self: self

    def by_hand(parts, updates_as_written):
        model, optimizer, rates = made()
        scaler, number = torch.amp.GradScaler("cpu"), 0
        for epoch in range(3):
            for batch, target in data(samples=96):
                on = number >= updates_as_written
                number += 1
                for x, y in zip(batch.chunk(parts if on else 1), target.chunk(parts if on else 1)):
                    with torch.autocast("cpu", dtype=torch.float16, enabled=on):
                        loss = cross_entropy(model(x), y)
                    scaler.scale(loss / (parts if on else 1)).backward()
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()
                rates.step()
        return [p.detach() for p in model.parameters()], rates.get_last_lr(), rates.last_epoch

    wanted = by_hand(2, 1)
    hook(_1={"micro_batch": 8, "precision": "fp16"})
    found = train(samples=96)
    print(apart(found, wanted) < 1e-7, found[1:3] == wanted[1:3], clock.updates)
    """
    assert says(tmp_path, code) == "True True 18"


# --- what it is not for -----------------------------------------------------------------------------------------------


def refusal(tmp_path: Path, code: str) -> str:
    """What a script of its own kind is told."""
    told = """
    def attempt():
        try:
            controls.set_config({"micro_batch": 8})
        except Refused as refusal:
            print(refusal)
        print(controls.settings, steps.interventions)

    hook()
    """
    *text, last = says(tmp_path, textwrap.dedent(told) + textwrap.dedent(code)).splitlines()
    assert last == "{} {}"
    return "\n".join(text)


def test_before_a_step_was_seen_it_is_refused(tmp_path: Path) -> None:
    assert "no optimizer step was seen" in refusal(tmp_path, "attempt()")


def test_accumulation_of_the_scripts_own_is_refused(tmp_path: Path) -> None:
    code = """
    model, optimizer, _ = made()
    for number, (batch, target) in enumerate(data(samples=64)):
        cross_entropy(model(batch), target).backward()
        if number % 4 == 3:
            optimizer.step()
    attempt()
    """
    assert "an update already has 4 backward passes" in refusal(tmp_path, code)


def test_a_closure_is_refused(tmp_path: Path) -> None:
    code = """
    model, optimizer, _ = made()
    for batch, target in data(samples=32):
        def closure():
            loss = cross_entropy(model(batch), target)
            loss.backward()
            return loss
        optimizer.step(closure)
    attempt()
    """
    assert "closure" in refusal(tmp_path, code)


def test_two_optimizers_are_refused(tmp_path: Path) -> None:
    code = """
    model, _, _ = made()
    halves = [torch.optim.SGD(half.parameters(), lr=0.1) for half in (model[0], model[4])]
    for batch, target in data(samples=32):
        cross_entropy(model(batch), target).backward()
        for half in halves:
            half.step()
            half.zero_grad()
    attempt()
    """
    assert "2 optimizers" in refusal(tmp_path, code)


def given_up(tmp_path: Path, code: str) -> str:
    """What is said of a setting that was taken, and then taken back: the script goes on as written."""
    told = says(tmp_path, textwrap.dedent(code) + "print(controls.broken['micro_batch'], '|', steps.interventions)")
    text, last = told.rsplit(" | ", 1)
    assert last == "{}"
    return text


def test_a_loss_that_is_a_sum_is_found_by_comparing(tmp_path: Path) -> None:
    code = """
    hook(_1={"micro_batch": 4})
    controls.accumulation.checks = 2
    train(loss_of=lambda scores, target: torch.nn.functional.cross_entropy(scores, target, reduction="sum"))
    """
    assert "the loss is a sum" in given_up(tmp_path, code)


def test_a_loss_over_pairs_of_samples_is_found_by_comparing(tmp_path: Path) -> None:
    code = """
    def contrast(scores, target):
        return torch.nn.functional.cross_entropy(scores @ scores.T, torch.arange(len(scores)))

    hook(_1={"micro_batch": 4})
    controls.accumulation.checks = 2
    train(loss_of=contrast)
    """
    assert "differs from the mean loss of its parts" in given_up(tmp_path, code)


def test_batch_norm_is_no_reason_to_call_a_mean_a_sum(tmp_path: Path) -> None:
    code = """
    torch.nn.LayerNorm = torch.nn.BatchNorm1d
    hook(_1={"micro_batch": 8})
    controls.accumulation.checks = 2
    train()
    print(controls.broken, clock.updates)
    """
    assert says(tmp_path, code) == "{} 21"


def test_a_sum_is_found_behind_dropout_too(tmp_path: Path) -> None:
    code = """
    hook(_1={"micro_batch": 8})
    controls.accumulation.checks = 2
    train(
        loss_of=lambda scores, target: torch.nn.functional.cross_entropy(scores, target, reduction="sum"), dropout=0.3
    )
    """
    assert "the loss is a sum" in given_up(tmp_path, code)


def test_looking_leaves_the_training_as_it_is(tmp_path: Path) -> None:
    code = """
    wanted = train()
    hook(_1={"micro_batch": 8})
    controls.accumulation.checks = 2
    found = train()
    print(same(found, wanted), clock.updates, {update.samples for update in updates}, controls.broken)
    """
    assert says(tmp_path, code) == "True 21 {16, 4} {}"


def test_a_look_moves_no_random_state_and_no_statistics(tmp_path: Path) -> None:
    """With dropout, batch norm and a dataset that draws: the same training with looks and without."""
    code = """
    import random, sys
    import numpy

    class Drawing(TensorDataset):
        def __getitem__(self, index):
            batch, target = super().__getitem__(index)
            return batch + torch.randn(8) / 9 + random.random() / 9 + numpy.random.rand() / 9, target

    torch.nn.LayerNorm, TensorDataset = torch.nn.BatchNorm1d, Drawing
    hook(_1={"micro_batch": 8})
    controls.accumulation.checks = CHECKS
    random.seed(0), numpy.random.seed(0)
    parameters, *_ = train(dropout=0.05)
    print([p.sum().item() for p in parameters], random.random(), controls.broken)
    """
    assert says(tmp_path, code.replace("CHECKS", "2")) == says(tmp_path, code.replace("CHECKS", "0"))


def test_a_rate_set_by_hand_every_round_is_found(tmp_path: Path) -> None:
    code = """
    hook(_1={"micro_batch": 8})
    model, optimizer, _ = made()
    for number, (batch, target) in enumerate(data()):
        optimizer.param_groups[0]["lr"] = 0.1 / (1 + number)
        optimizer.zero_grad()
        cross_entropy(model(batch), target).backward()
        optimizer.step()
    """
    assert "sets the learning rate by hand" in given_up(tmp_path, code)


def test_a_rate_set_by_hand_every_epoch_is_no_trouble(tmp_path: Path) -> None:
    code = """
    hook(_1={"micro_batch": 8})
    model, optimizer, _ = made()
    for epoch in range(3):
        optimizer.param_groups[0]["lr"] = 0.1 / (1 + epoch)
        for batch, target in data():
            optimizer.zero_grad()
            cross_entropy(model(batch), target).backward()
            optimizer.step()
    print(controls.broken, clock.updates)
    """
    assert says(tmp_path, code) == "{} 21"


@pytest.mark.parametrize("asks", ["next(rows)", "endless.__next__()"])
def test_a_loop_that_counts_its_batches_is_found(tmp_path: Path, asks: str) -> None:
    code = f"""
    def forever():
        while True:
            for row in data():
                yield row

    hook(_1={{"micro_batch": 8}})
    model, optimizer, _ = made()
    rows, endless = iter(data()), forever()
    for _ in range(6):
        batch, target = {asks}
        optimizer.zero_grad()
        cross_entropy(model(batch), target).backward()
        optimizer.step()
    """
    assert "counts batches" in given_up(tmp_path, code)


def test_a_for_loop_behind_other_iterators_is_one(tmp_path: Path) -> None:
    code = """
    def shown(rows):
        for row in rows:
            yield row

    hook(_1={"micro_batch": 8})
    model, optimizer, _ = made()
    for number, (batch, target) in enumerate(shown(data())):
        optimizer.zero_grad()
        cross_entropy(model(batch), target).backward()
        optimizer.step()
    print(controls.broken, clock.updates)
    """
    assert says(tmp_path, code) == "{} 7"


# --- in the controller ------------------------------------------------------------------------------------------------

KNOB = knobs.get("micro_batch")
ONE_LOADER = healthy_cpu(workload={"loaders": (train_loader(batch_size=32),)})


def values(**changes: Any) -> Any:
    evidence: Evidence = evolve(ONE_LOADER, {"workload": changes})
    return KNOB.values(evidence.hardware, evidence.workload)


def test_halves_and_quarters_are_tried() -> None:
    assert values().values == (16, 8)


def test_what_does_not_divide_is_not() -> None:
    assert values(loaders=(train_loader(batch_size=6),)).values == (3,)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"loaders": ()}, "no DataLoader"),
        ({"loaders": (train_loader(iterable=True),)}, "iterable"),
        ({"loaders": (train_loader(batch_size=7),)}, "cannot be halved"),
        ({"facts": {"micro_steps": 4}}, "already has 4 backward"),
        ({"facts": {"closures": True}}, "closure"),
        ({"framework": "transformers"}, "gradient_accumulation_steps"),
        ({"framework": "lightning"}, "accumulate_grad_batches"),
        ({"flags": {"grad_scaler": True}}, "scales its own loss"),
        ({"world_size": 2}, "2 ranks"),
        ({"optimizers": (optimizer(), optimizer(main=False))}, "2 optimizers"),
    ],
)
def test_what_closes_it_is_said(changes: dict[str, Any], told: str) -> None:
    assert told in values(**changes).why_closed


def test_batch_norm_makes_it_another_training() -> None:
    with_norm = evolve(ONE_LOADER, {"workload": {"models": (model(layers={"Conv2d": 2, "BatchNorm2d": 2}),)}})
    without = evolve(ONE_LOADER, {"workload": {"models": (model(layers={"Linear": 2, "LayerNorm": 2}),)}})
    assert [KNOB.effect(e.hardware, e.workload) for e in (with_norm, without)] == ["training", "numerics"]
