"""A trace window beside compiled code: operators are counted where none runs, and none is harmed where it does."""

from __future__ import annotations

import builtins
import contextlib
import copy
import io
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch._dynamo
from process_state import forget_compiled
from torch.utils.checkpoint import checkpoint

from advisor import wire
from advisor.agent.base import dynamo, modes
from advisor.agent.loader.hooks import LoaderHooks
from advisor.agent.loop.clock import StepClock
from advisor.agent.loop.roots import Roots
from advisor.agent.loop.steps import Steps
from advisor.agent.observe import compiled_calls, memory
from advisor.agent.observe.tracing import Tracing
from advisor.agent.probe.instruments import Instruments
from advisor.agent.settings.controls import Controls
from advisor.agent.settings.precision import Precision

WEIGHT = torch.ones(8, 8, requires_grad=True)
BATCH = torch.ones(4, 8)

Update = Callable[[], Any]

# What torch warns itself of while it compiles is an error within dynamo here, and a function given up.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
]


@pytest.fixture(autouse=True)
def _no_gradient() -> Iterator[None]:
    yield
    WEIGHT.grad = None


def eager() -> None:
    torch.mm(BATCH, WEIGHT).sum().backward()


class Loop:
    """Updates of a script, and the trace window between them, begun and ended as the conductor does."""

    def __init__(self) -> None:
        self.clock = StepClock()
        roots, steps = Roots(self.clock), Steps(self.clock)
        loaders = LoaderHooks(self.clock)
        self.controls = Controls(self.clock, roots, steps, loaders, Precision(roots))
        self.tracing = Tracing(self.controls)

    def run(self, *updates: Update) -> None:
        for update in updates:
            update()
            self.clock.end_update()

    def settle(self) -> None:
        dynamo.without_dynamo(self.tracing.settle)

    def start(self) -> None:
        dynamo.without_dynamo(self.tracing.start)

    def stop(self) -> dict[str, Any]:
        found: dict[str, Any] = dynamo.without_dynamo(self.tracing.stop)
        return found


def traced(*updates: Update, settling: Update = eager) -> dict[str, Any]:
    """What the window says of these updates; the one before them settles."""
    loop = Loop()
    loop.settle()
    loop.run(settling)
    loop.start()
    loop.run(*updates)
    return loop.stop()


def counted(extra: dict[str, Any]) -> bool:
    flops = extra.get("flops_per_update")
    return extra["trace"]["torch_calls_per_update"] is not None and flops is not None and extra["memory"]["why"] is None


def compilations() -> tuple[int, int, int]:
    """Graphs, graph breaks and frames that dynamo has looked at."""
    found = torch._dynamo.utils.counters
    return found["stats"]["unique_graphs"], sum(found["graph_break"].values()), found["frames"]["total"]


# --- where no compiled code runs ------------------------------------------------------------------------------------


def test_what_was_compiled_before_takes_no_operators_from_a_later_trace() -> None:
    def counts() -> tuple[Any, ...]:
        extra = traced(eager, eager)
        assert counted(extra)
        return (
            extra["trace"]["torch_calls_per_update"],
            extra["flops_per_update"],
            extra["memory"]["activations_bytes"],
            extra.get("why_no_operators"),
        )

    before = counts()
    torch.compile(lambda tensor: tensor.sin() * 2, backend="eager")(BATCH)
    assert modes.compile_used()
    assert counts() == before


def test_a_function_that_was_compiled_and_is_called_uncompiled_now_is_counted() -> None:
    with torch.compiler.set_stance("force_eager"):
        assert counted(traced(compiled_function(), compiled_function()))


def test_an_optimizer_switches_dynamo_off_for_itself_and_is_no_compiled_call() -> None:
    optimizer = torch.optim.Adam([WEIGHT], lr=0.0)

    def update() -> None:
        eager()
        optimizer.step()

    assert counted(traced(update, update, settling=update))


def test_compiled_code_on_another_thread_is_no_part_of_the_update() -> None:
    from concurrent.futures import ThreadPoolExecutor

    function = torch.compile(lambda tensor: tensor.sin(), backend="eager")
    with ThreadPoolExecutor(1) as pool:

        def update() -> None:
            pool.submit(function, BATCH).result()
            eager()

        assert counted(traced(update, update, settling=update))


# --- where it does --------------------------------------------------------------------------------------------------


def compiled_function() -> Update:
    function = torch.compile(lambda tensor: (tensor @ WEIGHT).sin().sum(), backend="aot_eager")
    return lambda: function(BATCH).backward()


def compiled_module() -> Update:
    model = torch.compile(torch.nn.Sequential(torch.nn.Linear(8, 8)), backend="eager")
    return lambda: model(BATCH).sum().backward()


def module_compiled_in_place() -> Update:
    class Model(torch.nn.Linear):
        def forward(self, tensor: torch.Tensor) -> torch.Tensor:
            return super().forward(tensor).sin()

    model = Model(8, 8)
    model.compile(backend="eager")
    return lambda: model(BATCH).sum().backward()


def compiled_optimizer() -> Update:
    step = torch.compile(torch.optim.SGD([WEIGHT], lr=0.0).step, backend="eager")

    def update() -> None:
        WEIGHT.grad = torch.ones_like(WEIGHT)
        step()

    return update


def recomputed_block() -> Update:
    block = torch.compile(lambda tensor: (tensor * 2).relu().sin(), backend="aot_eager")
    return lambda: checkpoint(block, WEIGHT * 2, use_reentrant=False).sum().backward()


def compiled_backward() -> Update:
    double = torch.compile(lambda tensor: tensor * 2, backend="eager")

    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, tensor: torch.Tensor) -> torch.Tensor:
            return tensor * 2

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> Any:
            return double(gradient)

    return lambda: Doubled.apply(WEIGHT).sum().backward()


def function_with_a_print() -> Update:
    file = io.StringIO()

    def printed(tensor: torch.Tensor) -> torch.Tensor:
        between = tensor.sin()
        print("step", file=file)
        return between.cos()

    function = torch.compile(printed, backend="eager")
    return lambda: function(BATCH)


def function_with_a_copy() -> Update:
    function = torch.compile(lambda tensor: tensor + len(copy.deepcopy([1])), backend="eager")
    return lambda: function(BATCH)


def function_in_two_graphs() -> Update:
    @torch.compile(backend="eager")
    def function(tensor: torch.Tensor) -> torch.Tensor:
        between = (tensor @ WEIGHT).sum()
        torch._dynamo.graph_break()
        return between.sin()

    return lambda: function(BATCH).backward()


KINDS = (
    compiled_function,
    compiled_module,
    module_compiled_in_place,
    compiled_optimizer,
    recomputed_block,
    compiled_backward,
    function_with_a_print,
    function_with_a_copy,
    function_in_two_graphs,
)


@pytest.mark.slow
@pytest.mark.parametrize("make", KINDS)
def test_compiled_code_in_the_updates_before_is_refused_with_the_reason(make: Callable[[], Update]) -> None:
    update = make()
    extra = traced(eager, settling=update)
    assert extra["trace"]["torch_calls_per_update"] is None
    assert "flops_per_update" not in extra
    assert extra["why_no_operators"] == modes.COMPILED
    assert extra["memory"]["why"] == memory.COMPILED


@pytest.mark.slow
@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("ran_before", [False, True], ids=["first run while traced", "ran before"])
def test_compiled_code_that_is_met_in_the_traced_updates_is_as_without_us(
    make: Callable[[], Update], ran_before: bool
) -> None:
    update = make()
    for _ in range(3):
        update()
    without_us = compilations()
    forget_compiled()

    update = make()
    if ran_before:
        update()
    extra = traced(update, update)
    update()

    assert compilations() == without_us
    assert without_us[0] >= 1
    assert not counted(extra)
    assert extra["why_no_operators"] == modes.COMPILED
    assert extra["memory"]["why"] == memory.COMPILED


@pytest.mark.parametrize("offset", range(3))
def test_code_that_runs_in_every_third_update_stays_compiled(offset: int) -> None:
    function = compiled_function()
    ends: list[tuple[int, int, int]] = []

    def update() -> None:
        eager()
        if (loop.clock.updates + offset) % 3 == 0:
            function()
            ends.append(compilations())

    loop = Loop()
    loop.run(update, update, update)
    loop.settle()
    loop.run(update)
    loop.start()
    loop.run(update, update)
    extra = loop.stop()
    loop.run(update, update, update)

    assert ends == [(1, 0, 1)] * 3
    assert extra["why_no_operators"] == modes.COMPILED


def test_calls_are_recorded_between_compiled_ones_but_not_inside() -> None:
    function = function_with_a_print()

    def update() -> None:
        function()
        print("between", file=io.StringIO())
        BATCH.sum().item()

    calls = {call["what"]: call["calls_per_update"] for call in traced(update, update)["trace"]["calls"]}
    assert calls == {"print": 1.0, "item": 1.0}


def test_nothing_of_ours_is_open_while_compiled_code_runs() -> None:
    seen: list[tuple[int, Any, Any]] = []

    def backend(graph: Any, _inputs: Any) -> Any:
        def run(*args: Any) -> Any:
            hooks = torch._C._autograd._top_saved_tensors_default_hooks(True)
            seen.append((torch._C._len_torch_dispatch_stack(), hooks, builtins.print))
            return graph.forward(*args)

        return run

    function = torch.compile(lambda tensor: tensor.sin(), backend=backend)
    before = builtins.print
    traced(lambda: function(BATCH))
    assert seen == [(0, None, before)]


def test_a_window_that_begins_and_ends_inside_a_compiled_call_changes_nothing_there() -> None:
    dynamo.hide()
    file = io.StringIO()
    loop = Loop()
    extra: dict[str, Any] = {}

    def look() -> None:
        if loop.clock.updates == 1:
            loop.tracing.start()
        if loop.clock.updates == 3:
            extra.update(loop.tracing.stop())

    loop.clock.on_update = lambda _update: dynamo.without_dynamo(look)

    def training(tensor: torch.Tensor) -> torch.Tensor:
        for _ in range(4):
            tensor = tensor.sin()
            print("step", file=file)
            loop.clock.end_update()
            tensor = tensor.cos()
        return tensor

    torch.compile(training, backend="eager")(BATCH)
    with_us = compilations()
    forget_compiled()
    loop.clock.updates = 10
    torch.compile(training, backend="eager")(BATCH)
    assert with_us == compilations()
    assert extra["why_no_operators"] == modes.COMPILED


def test_everything_is_restored_exactly() -> None:
    def state() -> tuple[Any, ...]:
        hooks = torch._C._autograd._top_saved_tensors_default_hooks(True)
        setter = vars(torch._dynamo.eval_frame)[compiled_calls.SETTER]
        return builtins.print, copy.deepcopy, setter, hooks, torch._C._len_torch_dispatch_stack()

    before = state()
    traced(compiled_function(), eager)
    assert state() == before


def test_a_trace_window_watches_from_its_settling_updates_on_and_leaves_nothing_behind() -> None:
    def setter() -> Any:
        return vars(torch._dynamo.eval_frame)[compiled_calls.SETTER]

    before = setter()
    loop = Loop()
    instruments = Instruments(
        loop.controls,
        sampler=None,
        garbage=None,
        off_step=None,
        tracing=loop.tracing,
        device_trace=None,
        counted_by_calls=lambda: True,
        on_report=lambda _window: None,
    )
    window = wire.Window(id="trace", kind="trace", warm_up_updates=1)
    instruments.enter(window)
    assert setter() is not before
    instruments.leave(window)
    assert setter() is before


# --- a torch that does not let us see it ----------------------------------------------------------------------------


@pytest.fixture
def _another_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_calls, "SETTER", "_renamed")


@pytest.mark.usefixtures("_another_torch")
def test_where_calls_cannot_be_seen_any_compiling_is_a_reason_to_refuse() -> None:
    torch.compile(lambda tensor: tensor.sin(), backend="eager")
    assert traced(eager)["why_no_operators"] == modes.COMPILED


@pytest.mark.usefixtures("_another_torch")
def test_where_calls_cannot_be_seen_and_nothing_was_compiled_operators_are_counted() -> None:
    assert counted(traced(eager))


def test_a_child_that_is_forked_while_updates_are_traced_is_not_looked_at() -> None:
    """A loader worker computes as without us: no mode sees its operators, and no hook its saved tensors."""
    loop = Loop()
    loop.run(eager)
    loop.tracing.settle()
    loop.tracing.start()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            before = loop.clock.updates, len(loop.tracing._tracer._sites)
            eager()
            left = [
                modes.open_here(),
                loop.tracing._activations.open_here(),
                before != (loop.clock.updates, len(loop.tracing._tracer._sites)),
            ]
            os.write(write, str(left).encode())
        os._exit(0)
    os.close(write)
    said = os.read(read, 1000).decode()
    os.close(read)
    os.waitpid(child, 0)
    loop.run(eager)
    extra = loop.tracing.stop()
    assert said == "[False, False, False]"
    assert extra["trace"]["torch_calls_per_update"] > 0  # the parent goes on
