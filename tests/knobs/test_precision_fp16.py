"""fp16 from outside: what a `GradScaler` written by hand makes of a training, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import child
import pytest

from advisor import knobs
from advisor.rules._examples import evolve, healthy_cuda
from advisor.types import Evidence

LIMIT_S = 120
LOOP = """
import torch
from advisor.agent.loop.clock import StepClock
from advisor.agent.settings.precision import Precision
from advisor.refused import Refused
from advisor.agent.loop.roots import Roots
from advisor.agent.settings.scaling import Scaler
from advisor.agent.loop.schedulers import ScheduleHold
from advisor.agent.loop.steps import Steps

clock = StepClock()
roots, steps = Roots(clock), Steps(clock)
given_up = []

def give_up(why):
    precision.restore()
    given_up.append(why)

scaler = Scaler(steps, ScheduleHold(), give_up)
precision = Precision(roots, scaler=scaler)

def before_step():
    precision.close()
    owned = steps.owned_parameters()
    roots.seek(owned, owned)

def hook():
    steps.before_step = before_step
    steps.before_backward = precision.close
    steps.install()

def made(kind):
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(8, 32), torch.nn.LayerNorm(32), torch.nn.ReLU(), torch.nn.Linear(32, 4)
    ).to(DEVICE)
    if kind == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    return model, optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 3, gamma=0.7)

def batches(updates, parts):
    generator = torch.Generator().manual_seed(1)
    for number in range(updates):
        yield number, [
            (
                torch.randn(16, 8, generator=generator).to(DEVICE),
                torch.randint(0, 4, (16,), generator=generator).to(DEVICE),
            )
            for _ in range(parts)
        ]

def written(model, batch, target, number):
    loss = torch.nn.functional.cross_entropy(model(batch), target)
    return loss * 1e6 if number in HUGE else loss * SIZE

def by_hand(kind="adamw", updates=30, parts=1, clip=None, begin=2, growth=2000):
    model, optimizer, schedule = made(kind)
    scaler, losses, skipped = torch.amp.GradScaler(DEVICE, growth_interval=growth), [], 0
    for number, row in batches(updates, parts):
        on = number >= begin
        for batch, target in row:
            with torch.autocast(DEVICE, dtype=torch.float16, enabled=on):
                loss = written(model, batch, target, number) / parts
            (scaler.scale(loss) if on else loss).backward()
            losses.append(loss.item())
        if on:
            scaler.unscale_(optimizer)
        if clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        before = scaler.get_scale()
        if on:
            scaler.step(optimizer)
            scaler.update()
        else:
            optimizer.step()
        optimizer.zero_grad()
        if scaler.get_scale() >= before:
            schedule.step()
        else:
            skipped += 1
    parameters = [p.detach().tolist() for p in model.parameters()]
    return losses, parameters, schedule.get_last_lr(), skipped, scaler.get_scale()

def plain(kind="adamw", updates=30, parts=1, clip=None, begin=2, seen=lambda model: None, end=None):
    model, optimizer, schedule = made(kind)
    losses = []
    for number, row in batches(updates, parts):
        if number == begin:
            precision.set("fp16")
        if number == end:
            precision.restore()
        for batch, target in row:
            loss = written(model, batch, target, number) / parts
            loss.backward()
            losses.append(loss.item())
        if clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        seen(model)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    skipped = precision.skipped_steps
    model(any_input()).sum().backward()  # the scale follows a step when the next backward begins
    return losses, [p.detach().tolist() for p in model.parameters()], schedule.get_last_lr(), skipped, scaler.scale

def any_input():
    return torch.zeros(1, 8, device=DEVICE)

HUGE, SIZE, DEVICE = (), 1.0, "cpu"
"""


def says(tmp_path: Path, code: str) -> str:
    return child.says(tmp_path, LOOP, code, limit_s=LIMIT_S)


@pytest.mark.parametrize(
    "how",
    [
        "kind='adamw'",
        "kind='sgd'",
        "kind='sgd', clip=0.1",
        "kind='adamw', clip=0.1, parts=3",
        "kind='sgd', parts=2",
    ],
)
def test_thirty_steps_are_those_of_a_gradient_scaler_bit_for_bit(tmp_path: Path, how: str) -> None:
    code = f"""
    wanted = by_hand({how})
    hook()
    print(plain({how}) == wanted)
    """
    assert says(tmp_path, code) == "True"


@pytest.mark.gpu
@pytest.mark.parametrize("how", ["kind='adamw', clip=0.1, parts=3", "kind='sgd'"])
def test_the_same_on_a_gpu_with_an_overflow(tmp_path: Path, how: str) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    code = f"""
    HUGE, DEVICE = (7, 8), "cuda"
    wanted = by_hand({how})
    hook()
    print(plain({how}) == wanted, wanted[-2] > 1)
    """
    assert says(tmp_path, code) == "True True"


def test_gradients_of_few_rows_are_scaled_and_made_true_like_all_others(tmp_path: Path) -> None:
    code = """
    def made(kind):
        torch.manual_seed(0)
        words = torch.nn.EmbeddingBag(50, 8, sparse=True, mode="sum")
        model = torch.nn.Sequential(words, torch.nn.ReLU(), torch.nn.Linear(8, 4))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        return model, optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 3, gamma=0.7)

    def batches(updates, parts):
        generator = torch.Generator().manual_seed(1)
        for number in range(updates):
            row = [torch.randint(0, 50, (16, 5), generator=generator) for _ in range(parts)]
            yield number, [(words, words.sum(1) % 4) for words in row]

    def grown(norms):
        return lambda model: norms.append(model[0].weight.grad.coalesce().values().norm().item())

    def any_input():
        return torch.ones(1, 5, dtype=torch.long)

    HUGE, norms = (7,), []
    wanted = by_hand(parts=2)
    hook()
    print(plain(parts=2, seen=grown(norms)) == wanted, wanted[-2], norms[3] < 10)
    """
    assert says(tmp_path, code) == "True 1 True"


@pytest.mark.parametrize("how", ["kind='adamw', clip=1.0", "kind='sgd', parts=2"])
def test_a_step_that_overflows_is_skipped_and_the_schedule_held(tmp_path: Path, how: str) -> None:
    code = f"""
    HUGE = (7, 8)
    wanted = by_hand({how})
    hook()
    print(plain({how}) == wanted, wanted[-2] > 1)
    """
    assert says(tmp_path, code) == "True True"


def test_a_small_loss_is_lost_without_scaling_so_that_equality_says_something(tmp_path: Path) -> None:
    code = """
    SIZE = 1e-6
    wanted = by_hand(kind='sgd')
    hook()
    found = plain(kind='sgd')
    steps.intervene(2, None)
    print(found == wanted)
    scaler.start = lambda: None
    print(plain(kind='sgd') == wanted)
    """
    assert says(tmp_path, code) == "True\nFalse"


def test_the_scale_grows_as_it_does_by_hand(tmp_path: Path) -> None:
    code = """
    import advisor.agent.settings.scaling
    advisor.agent.settings.scaling.GROWTH_STEPS = 5
    SIZE = 1e-6
    wanted = by_hand(growth=5)
    hook()
    print(plain() == wanted, scaler.scale > 2**16)
    """
    assert says(tmp_path, code) == "True True"


def test_the_script_sees_true_gradients(tmp_path: Path) -> None:
    code = """
    norms = []
    hook()
    plain(begin=4, updates=8, seen=lambda model: norms.append(model[0].weight.grad.norm().item()))
    print(max(norms) < 10)
    """
    assert says(tmp_path, code) == "True"


def test_gradients_of_a_skipped_step_are_there_again_after_it(tmp_path: Path) -> None:
    code = """
    HUGE = (3,)
    hook()
    model, optimizer, _ = made("sgd")
    for number, ((batch, target),) in batches(4, 1):
        if number == 2:
            precision.set("fp16")
        optimizer.zero_grad()
        written(model, batch, target, number).backward()
        optimizer.step()
    print(precision.skipped_steps, all(p.grad is not None for p in model.parameters()))
    """
    assert says(tmp_path, code) == "1 True"


def test_a_schedule_of_epochs_is_not_held(tmp_path: Path) -> None:
    code = """
    hook()
    model, optimizer, schedule = made("sgd")
    for number, ((batch, target),) in batches(12, 1):
        HUGE = (7, 11)
        if number == 1:
            precision.set("fp16")
        optimizer.zero_grad()
        written(model, batch, target, number).backward()
        optimizer.step()
        if number % 4 == 3:
            schedule.step()
    print(precision.skipped_steps, schedule.last_epoch)
    """
    assert says(tmp_path, code) == "2 3"


def test_parameters_that_come_later_get_true_gradients_too(tmp_path: Path) -> None:
    code = """
    hook()
    model, optimizer, _ = made("sgd")
    late = torch.nn.Linear(4, 4)
    for number, ((batch, target),) in batches(8, 1):
        if number == 1:
            precision.set("fp16")
        if number == 4:
            optimizer.add_param_group({"params": list(late.parameters())})
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(late(model(batch)) if number >= 4 else model(batch), target).backward()
        if number >= 4:
            print(late.weight.grad.norm().item() < 10)
        optimizer.step()
    """
    assert set(says(tmp_path, code).split()) == {"True"}


def test_parameters_of_an_optimizer_made_later_get_true_gradients_before_it_steps(tmp_path: Path) -> None:
    code = """
    hook()
    model, optimizer, _ = made("sgd")
    for number, ((batch, target),) in batches(4, 1):
        if number == 1:
            precision.set("fp16")
        if number == 2:
            free = torch.zeros(4, requires_grad=True)
            second = torch.optim.SGD([free], lr=1.0)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(batch) + (free if number >= 2 else 0), target).backward()
        optimizer.step()
        if number >= 2:
            second.step()
            print(0 < free.abs().max().item() < 10)
    """
    assert set(says(tmp_path, code).split()) == {"True"}


@pytest.mark.parametrize("begin", [0, 2], ids=["from the first update on", "later"])
@pytest.mark.parametrize("idle", [False, True], ids=["both", "both beside one that never steps"])
def test_one_overflow_skips_the_steps_of_both_optimizers_it_reached(idle: bool, begin: int, tmp_path: Path) -> None:
    code = f"""
    IDLE, BEGIN = {idle}, {begin}
    import gc
    hook()
    model, third, _ = made("sgd")
    if not IDLE:
        del third, _
        gc.collect()
    halves = [torch.optim.SGD(half.parameters(), lr=0.1) for half in (model[0], model[3])]
    for number, ((batch, target),) in batches(6, 1):
        if number == BEGIN:
            precision.set("fp16")
        HUGE = (4,)
        before = [p.detach().clone() for p in (*model[0].parameters(), *model[3].parameters())]
        for half in halves:
            half.zero_grad()
        written(model, batch, target, number).backward()
        for half in halves:
            half.step()
        after = (*model[0].parameters(), *model[3].parameters())
        print(sum(torch.equal(a, b) for a, b in zip(before, after)), all(p.isfinite().all().item() for p in after))
    print(precision.skipped_steps, scaler.scale)
    """
    lines = says(tmp_path, code).splitlines()
    assert lines == [*["0 True"] * 4, "4 True", "0 True", "2 32768.0"]


@pytest.mark.parametrize("idle", [False, True], ids=["both", "both beside one that never steps"])
def test_an_overflow_in_the_first_update_reaches_no_weight(idle: bool, tmp_path: Path) -> None:
    code = f"""
    IDLE = {idle}
    import gc
    hook()
    model, third, _ = made("sgd")
    if not IDLE:
        del third, _
        gc.collect()
    halves = [torch.optim.SGD(half.parameters(), lr=0.1) for half in (model[0], model[3])]
    owned = {{id(p) for half in halves for group in half.param_groups for p in group["params"]}}
    roots.seek(owned, owned)
    precision.set("fp16")
    HUGE = (0,)
    for number, ((batch, target),) in batches(2, 1):
        written(model, batch, target, number).backward()
        for half in halves:
            half.step()
        model.zero_grad()
        print(all(p.isfinite().all().item() for p in model.parameters()), scaler.skipped)
    """
    assert says(tmp_path, code).splitlines() == ["True 2", "True 2"]


def test_after_restoring_the_script_goes_on_as_one_that_was_never_touched(tmp_path: Path) -> None:
    code = """
    wanted = plain(begin=99)
    hook()
    plain(begin=3, end=9)
    print(plain(begin=99)[:3] == wanted[:3], torch.optim.lr_scheduler.StepLR.step.__qualname__)
    """
    assert says(tmp_path, code) == "True LRScheduler.step"


def test_a_closure_is_refused(tmp_path: Path) -> None:
    code = """
    hook()
    model, optimizer, _ = made("sgd")
    optimizer.step(lambda: None)
    try:
        precision.set("fp16")
    except Refused as refusal:
        print(refusal, precision.on)
    """
    assert says(tmp_path, code).endswith("could not be skipped False")


def test_a_gradient_of_the_input_gives_it_up_with_that_as_the_reason(tmp_path: Path) -> None:
    code = """
    hook()
    model, optimizer, _ = made("sgd")
    for number, ((batch, target),) in batches(3, 1):
        if number == 1:
            precision.set("fp16")
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(batch.requires_grad_()), target).backward()
        print(batch.grad.norm().item() < 1)
        optimizer.step()
    print(given_up, precision.on)
    """
    told = says(tmp_path, code)
    assert told.splitlines()[:3] == ["True"] * 3
    assert "of shape [16, 8] that is not a parameter" in told
    assert told.endswith("False")


def test_gradients_that_are_spread_over_processes_give_it_up(tmp_path: Path) -> None:
    code = """
    hook()
    model, optimizer, _ = made("sgd")
    optimizer.step()
    model[0].weight._fsdp_flattened = True
    precision.set("fp16")
    model(torch.randn(4, 8)).sum().backward()
    print(given_up, precision.on)
    """
    told = says(tmp_path, code)
    assert "each process holds part" in told
    assert told.endswith("False")


def test_a_second_derivative_is_left_alone(tmp_path: Path) -> None:
    code = """
    import warnings
    warnings.simplefilter("ignore")  # torch: a graph kept by its own gradients is never freed

    def penalized(by_hand):
        model, optimizer, _ = made("sgd")
        roots.seek({id(p) for p in model.parameters()}, set())
        with torch.autocast("cpu", dtype=torch.float16, enabled=by_hand):
            loss = torch.nn.functional.cross_entropy(model(torch.ones(4, 8)), torch.zeros(4, dtype=torch.long))
        loss.backward(create_graph=True)
        first = [p.grad for p in model.parameters()]
        return [g.tolist() for g in torch.autograd.grad(sum(g.square().sum() for g in first), model.parameters())]

    wanted = penalized(True)
    hook()
    precision.set("fp16")
    print(penalized(False) == wanted)
    """
    assert says(tmp_path, code) == "True"


# --- in the controller ------------------------------------------------------------------------------------------------

CUDA = healthy_cuda(workload={"flags": {"autocast_dtype": None}})


def values(evidence: Evidence) -> Any:
    return knobs.get("precision").values(evidence.hardware, evidence.workload)


def with_capability(*capability: int) -> Evidence:
    device = evolve(CUDA.hardware.accelerators[0], {"compute_capability": capability})
    found: Evidence = evolve(CUDA, {"hardware": {"accelerators": (device,)}})
    return found


def test_a_gpu_with_tensor_cores_but_no_bf16_gets_fp16() -> None:
    assert values(with_capability(7, 5)).values == ("fp16",)


def test_one_that_takes_bf16_is_not_tried_with_a_type_that_overflows() -> None:
    assert values(with_capability(9, 0)).values == ("bf16",)


def test_an_old_gpu_with_closures_has_nothing() -> None:
    found = evolve(with_capability(7, 5), {"workload": {"facts": {"closures": True}}})
    assert "closure" in values(found).why_closed


def test_asked_for_by_hand_it_is_no_wrong_value() -> None:
    assert knobs.get("precision").wrong("fp16") is None
