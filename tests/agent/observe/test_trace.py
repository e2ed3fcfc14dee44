"""A traced update: what it asks of its tensors by the user's line, how many operators it has, and nothing changed."""

# A bound method that is taken before tracing begins is not the patched one.
# ruff: noqa: PLW0108
from __future__ import annotations

import builtins
import copy
import gc
import io
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from advisor import wire
from advisor.agent.loop.clock import StepClock
from advisor.agent.loop.steps import Steps
from advisor.agent.observe.trace import Tracer

from .. import own_code


def traced(update: Callable[[], Any], updates: int = 2, compiled: bool = False) -> dict[str, Any]:
    clock = StepClock()
    tracer = Tracer(clock)
    tracer.start(compiled)
    for _ in range(updates):
        update()
        clock.end_update()
    tracer.stop()
    return tracer.report()


def calls(update: Callable[[], Any]) -> dict[str, float]:
    return {call["what"]: call["calls_per_update"] for call in traced(update)["calls"]}


LOSS = torch.ones(()) * 2
BATCH = torch.ones(4, 8)


@pytest.mark.parametrize(
    ("what", "update"),
    [
        ("item", lambda: LOSS.item()),
        ("tolist", lambda: BATCH.tolist()),
        ("cpu", lambda: BATCH.cpu()),
        ("numpy", lambda: BATCH.numpy()),
        ("bool", lambda: bool(LOSS > 1)),
        ("float", lambda: float(LOSS)),
        ("int", lambda: int(LOSS)),
        ("nonzero", lambda: BATCH.nonzero()),
        ("item", lambda: f"{LOSS:.3f}"),
        ("print", lambda: print("step", file=io.StringIO())),
        ("deepcopy", lambda: copy.deepcopy([1])),
        ("deepcopy", lambda: deepcopy([1])),
        ("gc.collect", lambda: gc.collect(0)),
        ("empty_cache", lambda: torch.cuda.empty_cache()),
    ],
)
def test_a_call_is_recorded_once_an_update(what: str, update: Callable[[], Any]) -> None:
    assert calls(update) == {what: 1.0}


def test_an_evaluation_within_one_update_is_no_part_of_the_others() -> None:
    sizes = iter([2, 200, 2])
    report = traced(lambda: [BATCH.mul(2) for _ in range(next(sizes))], updates=3)
    assert report["torch_calls_per_update"] == 2.0


@pytest.mark.parametrize(("evaluates", "counted"), [([True], 2.0), ([True, False], 2.0), ([True, True], 52.0)])
def test_an_evaluation_is_no_part_of_an_update_unless_each_of_several_has_one(
    evaluates: list[bool], counted: float
) -> None:
    """A slow evaluation ends the window in its first update; rollouts stand in each of them."""
    clock = StepClock()
    tracer = Tracer(clock)
    tracer.start()
    for evaluating in evaluates:
        if evaluating:
            clock.evaluation_begins()
            grown = BATCH
            for _ in range(50):
                grown = torch.cat([grown, BATCH])
            clock.evaluation_ends()
            clock.training_continues()
        BATCH.mul(2)
        BATCH.mul(2)
        clock.end_update()
    tracer.stop()
    report = tracer.report()
    assert report["torch_calls_per_update"] == counted
    assert (report["operators"]["joined"] is not None) == (counted > 2)


def test_the_users_line_is_named() -> None:
    def update() -> None:
        LOSS.item()

    call = traced(update)["calls"][0]
    assert (call["file"], call["line"], call["function"]) == (__file__, update.__code__.co_firstlineno + 1, "update")


def test_a_print_of_a_tensor_is_one_print_and_no_reads() -> None:
    assert calls(lambda: print(BATCH, file=io.StringIO())) == {"print": 1.0}


def test_what_a_recorded_call_calls_itself_is_not_recorded_again() -> None:
    class Meter:
        def __str__(self) -> str:
            return str(LOSS.item())

    assert calls(lambda: print(Meter(), file=io.StringIO())) == {"print": 1.0}


def test_beside_an_accelerator_a_value_on_the_cpu_is_no_wait() -> None:
    clock = StepClock()
    clock.device = NoDevice()
    tracer = Tracer(clock)
    tracer.start()
    LOSS.item()
    tracer.stop()
    assert tracer.report()["calls"] == []


class NoDevice:
    """Stands for an accelerator that is in use elsewhere in the script."""

    def synchronize(self) -> None: ...


def test_what_an_optimizer_reads_is_not_the_users() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight])
    weight.grad = torch.ones(3)
    assert calls(optimizer.step) == {}


FACTS = wire.Facts(rank=0, workload={"models": [{"parameters": 3}]}, memory={})
"""A message: a dataclass becomes a dictionary by deep copies of all that is in it."""


def test_what_advisor_copies_in_a_hook_is_not_the_scripts() -> None:
    kept = traced(lambda: (wire.encode(FACTS), copy.deepcopy([1])))["calls"]
    assert [(call["what"], call["calls_per_update"]) for call in kept] == [("deepcopy", 1.0)]


def test_what_advisor_copies_between_two_updates_is_not_the_scripts() -> None:
    clock = StepClock()
    tracer = Tracer(clock)
    clock.on_update = lambda _update: work_between()
    tracer.start()
    copy.deepcopy([1])
    clock.end_update()
    tracer.stop()
    (call,) = tracer.report()["calls"]
    assert (call["what"], call["calls_per_update"]) == ("deepcopy", 1.0)


def work_between() -> None:
    """As code of the script's would run that advisor calls: none of its frames tells whose work it is."""
    copy.deepcopy([1])
    print(LOSS.item(), file=io.StringIO())


@pytest.mark.parametrize(
    "call", ["tensor.item()", "float(tensor)", "print(tensor, file=io.StringIO())", "gc.collect(0)"]
)
def test_what_a_hook_of_ours_asks_for_is_not_the_scripts(call: str) -> None:
    hook = own_code.of_advisor(f"def hook(): {call}", tensor=LOSS, io=io, gc=gc)["hook"]
    assert calls(hook) == {}


def a_backward() -> None:
    torch.mm(BATCH, torch.ones(8, 8, requires_grad=True)).sum().backward()


@pytest.fixture
def hooked() -> Iterator[None]:
    """Our own hooks on backward, which note the loss."""
    steps = Steps(StepClock())
    steps.install()
    yield
    steps.remove()


@pytest.mark.usefixtures("hooked")
def test_the_loss_that_we_note_is_no_read_of_the_scripts() -> None:
    assert calls(a_backward) == {}


def test_operators_of_our_hooks_are_none_of_the_updates(request: pytest.FixtureRequest) -> None:
    alone = traced(a_backward)["torch_calls_per_update"]
    request.getfixturevalue("hooked")
    assert traced(a_backward)["torch_calls_per_update"] == alone


def test_a_copy_by_a_library_is_the_line_that_calls_it_and_names_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    averages = own_code.library(
        tmp_path, monkeypatch, "averages", "import copy\ndef keep(x): return copy.deepcopy(x)\n"
    )
    (call,) = traced(lambda: averages.keep([1]))["calls"]
    assert (call["file"], call["library"], call["detail"]) == (__file__, "averages", "in averages/__init__.py:2")


def test_a_copy_of_the_scripts_own_names_no_library() -> None:
    assert traced(lambda: copy.deepcopy([1]))["calls"][0]["library"] == ""


def test_a_copy_to_another_device_tells_its_bytes_and_how() -> None:
    call = traced(lambda: BATCH.to("meta"))["calls"][0]
    assert (call["what"], call["bytes_per_update"], call["detail"]) == ("to", 4 * 8 * 4, "pageable, blocking")


def test_a_copy_that_does_not_block_says_so() -> None:
    assert "non_blocking" in traced(lambda: BATCH.to("meta", non_blocking=True))["calls"][0]["detail"]


def test_a_change_of_dtype_is_no_copy_to_a_device() -> None:
    assert traced(lambda: BATCH.to(torch.float64))["calls"] == []


def test_calls_on_other_threads_are_not_the_loops() -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        assert calls(lambda: pool.submit(LOSS.item).result()) == {}


def test_operators_of_forward_and_backward_are_counted() -> None:
    weight = torch.ones(8, 8, requires_grad=True)
    report = traced(lambda: torch.mm(BATCH, weight).sum().backward())
    # mm, sum; ones_like, expand, mm of a transpose, detach and kin: what one torch version adds, another leaves out.
    assert 6 <= report["torch_calls_per_update"] <= 16
    assert report["kernel_median_s"] > 0


def test_updates_are_counted() -> None:
    assert traced(lambda: None, updates=3)["updates"] == 3


def snapshot() -> tuple[Any, ...]:
    return (
        dict(vars(torch.Tensor)),
        torch.cuda.synchronize,
        torch.cuda.empty_cache,
        copy.deepcopy,
        gc.collect,
        builtins.print,
        deepcopy,
        torch._C._len_torch_dispatch_stack(),
        torch._C._len_torch_function_stack(),
    )


def test_everything_is_restored_exactly() -> None:
    before = snapshot()
    traced(lambda: LOSS.item())
    assert snapshot() == before
    assert "item" not in vars(torch.Tensor)
    assert copy.deepcopy is before[3] is deepcopy
    assert builtins.print is before[5]


def test_everything_is_restored_after_the_users_exception() -> None:
    before = snapshot()
    tracer = Tracer(StepClock())
    tracer.start()
    with pytest.raises(RuntimeError, match="converted to Scalar"):
        torch.Tensor.item(BATCH)
    tracer.stop()
    assert snapshot() == before


def test_a_replacement_that_the_script_makes_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "print", builtins.print)  # what is put back at the end is not ours
    tracer = Tracer(StepClock())
    tracer.start()

    def own_print(*_args: Any) -> None: ...

    monkeypatch.setattr(builtins, "print", own_print)
    tracer.stop()
    assert builtins.print is own_print


def test_results_are_the_same_objects_as_without() -> None:
    clock = StepClock()
    tracer = Tracer(clock)
    tracer.start()
    results = (LOSS.item(), bool(LOSS), BATCH.tolist(), float(LOSS), BATCH.to("cpu") is BATCH)
    tracer.stop()
    assert results == (2.0, True, [[1.0] * 8] * 4, 2.0, True)


def test_a_compiled_model_keeps_its_operators_to_itself() -> None:
    report = traced(lambda: LOSS.item(), compiled=True)
    assert report["torch_calls_per_update"] is None
    assert report["calls"][0]["what"] == "item"


class Counting(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen += 1
        return func(*args, **(kwargs or {}))


def test_a_mode_of_the_user_is_left_alone() -> None:
    with Counting() as mode:
        report = traced(BATCH.sin)
    assert report["torch_calls_per_update"] is None
    assert mode.seen == 2


def test_a_mode_that_the_user_opens_and_closes_meanwhile_works() -> None:
    seen: list[int] = []

    def update() -> None:
        with Counting() as mode:
            BATCH.sin()
        seen.append(mode.seen)

    assert traced(update)["torch_calls_per_update"] == 1.0
    assert seen == [1, 1]


def test_a_mode_of_the_user_that_outlives_ours_stays_open() -> None:
    clock = StepClock()
    tracer = Tracer(clock)
    mode = Counting()
    tracer.start()
    with mode:
        tracer.stop()
        BATCH.sin()
    assert mode.seen == 1
    assert torch._C._len_torch_dispatch_stack() == 0


def test_function_modes_autocast_and_functorch_work_under_it() -> None:
    class Names(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return func(*args, **(kwargs or {}))

    def update() -> None:
        with Names(), torch.autocast("cpu"):
            assert torch.mm(BATCH, BATCH.T).dtype == torch.bfloat16
        gradient = torch.func.grad(lambda x: (x**2).sum())(BATCH)
        assert torch.equal(gradient, 2 * BATCH)
        assert torch.equal(torch.vmap(torch.sin)(BATCH), BATCH.sin())

    assert traced(update)["torch_calls_per_update"] > 0
