"""Compiled code switched on and off in a running loop; what the script has, saves and draws stays its own."""

from __future__ import annotations

import functools
import shutil
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import child
import pytest
import torch
from real_training import alone, trained

from advisor import knobs
from advisor.agent.settings import compile_watch
from advisor.rules._examples import evolve, healthy_cpu, healthy_cuda, model
from advisor.settings_file import exports
from advisor.settings_file.advisor_yaml import Document
from advisor.types import Config, Evidence

pytestmark = pytest.mark.slow(15)

LIMIT_S = 240
FORMATS = ["accelerate", "deepspeed", "python", "transformers"]
LOOP = """
import copy, pickle, sys
import torch
from advisor.agent.loop.clock import StepClock
from advisor.agent.settings.compiling import Compiling
from advisor.refused import Refused
from advisor.agent.loop.roots import Roots
from advisor.agent.loop.steps import Steps

clock = StepClock()
roots, steps = Roots(clock), Steps(clock)
broken = []
compiling = Compiling(roots, clock, broken.append)
graphs = []

def backend(graph, inputs):
    graphs.append(graph)
    return graph

compiling.backend = backend

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = torch.nn.Linear(8, 32), torch.nn.BatchNorm1d(32)
        self.drop, self.last = torch.nn.Dropout(0.2), torch.nn.Linear(32, 4)
        self.to_train = self.first

    def forward(self, x):
        return self.last(self.drop(torch.relu(self.norm(self.first(x)))))

def before_step():
    owned = steps.owned_parameters()
    roots.seek(owned, owned)

def loop(updates, switch=lambda number: None, make=Net, samples=lambda number: 16, each=lambda number, model: None):
    torch.manual_seed(0)
    model = make()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for number in range(updates):
        batch, target = torch.randn(samples(number), 8), torch.randint(0, 4, (samples(number),))
        switch(number)
        loss = torch.nn.functional.cross_entropy(model(batch), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        each(number, model)
        losses.append(loss.item())
    return losses, [value.tolist() for value in model.state_dict().values()], torch.randn(2).tolist()

def hook():
    steps.before_step = before_step
    steps.install()

def window(first, last):
    def switch(number):
        if number == first:
            compiling.set("default")
        if number == last:
            compiling.restore()
    return switch

def farthest(one, other):
    return max(abs(a - b) for a, b in zip(one, other))
"""


def says(tmp_path: Path, code: str) -> str:
    return child.says(tmp_path, LOOP, code, limit_s=LIMIT_S)


def values(evidence: Evidence) -> Any:
    return knobs.get("compile").values(evidence.hardware, evidence.workload)


# --- in the loop ------------------------------------------------------------------------------------------------------


def test_the_model_is_compiled_once_and_losses_parameters_and_draws_are_what_they_were(tmp_path: Path) -> None:
    code = """
    wanted = loop(12)
    hook()
    print(loop(12, window(3, 99)) == wanted, len(graphs), broken)
    """
    assert says(tmp_path, code) == "True 1 []"


def test_there_and_back_twice_compiles_once(tmp_path: Path) -> None:
    code = """
    wanted = loop(20)
    hook()
    def switch(number):
        window(3, 6)(number)
        window(9, 12)(number)
    print(loop(20, switch) == wanted, len(graphs), compiling.describe())
    """
    assert says(tmp_path, code) == "True 1 {}"


def test_nothing_of_it_is_on_the_model_while_it_is_on(tmp_path: Path) -> None:
    code = """
    seen = {}
    def each(number, model):
        if number in (4, 8):
            twin = pickle.loads(pickle.dumps(copy.deepcopy(model)))
            state = torch.get_rng_state()
            marks = [vars(value) for value in (*twin.parameters(), *twin.buffers())]
            seen[number] = [list(twin.state_dict()), sorted(vars(twin)), type(model), sorted(vars(model)), marks]
            torch.set_rng_state(state)
    hook()
    loop(10, window(6, 99), each=each)
    print(seen[4] == seen[8], len(graphs))
    """
    assert says(tmp_path, code) == "True 1"


def test_an_evaluation_stays_eager(tmp_path: Path) -> None:
    code = """
    def each(number, model):
        model.eval()
        with torch.no_grad():
            model(torch.ones(3, 8))
        model.train()
    hook()
    loop(8, window(2, 99), each=each)
    print(len(graphs))
    """
    assert says(tmp_path, code) == "1"


def test_a_batch_size_tried_elsewhere_does_not_make_this_ones_shapes_dynamic(tmp_path: Path) -> None:
    code = """
    def switch(number):
        if number in (2, 8):
            compiling.beside({"compile": "default", "global_batch": number})
            compiling.set("default")
    hook()
    loop(14, switch, samples=lambda number: 16 if number < 8 else 32)
    def symbols(graph):
        return any("s" in str(node.meta.get("example_value", "")).split("size=")[-1].split(")")[0]
                   for node in graph.graph.nodes if node.op == "placeholder")
    print([symbols(graph) for graph in graphs])
    """
    assert says(tmp_path, code) == "[False, False]"


def test_a_script_whose_shapes_change_for_ever_is_compiled_a_few_times(tmp_path: Path) -> None:
    code = """
    hook()
    loop(40, window(1, 99), samples=lambda number: 2 + number)
    print(len(graphs) <= 8, compiling.describe()["calls_that_compiled"] <= 8)
    """
    assert says(tmp_path, code) == "True True"


def test_recompilations_are_counted_and_told_with_their_reason(tmp_path: Path) -> None:
    code = """
    hook()
    remarks = []
    loop(20, window(3, 99), samples=lambda number: 4 + number // 4, each=lambda *_: remarks.append(compiling.remark()))
    said = compiling.describe()
    print(said["recompiles"] >= 2, "size mismatch" in said["recompile_reason"], len([one for one in remarks if one]))
    print(next(one for one in remarks if one))
    """
    facts, remark = says(tmp_path, code).splitlines()
    assert facts == "True True 1"
    assert remark.startswith("with compile=default the model was compiled 2 more times; the last reason: tensor")


def test_a_last_batch_of_another_size_is_not_worth_a_word(tmp_path: Path) -> None:
    code = """
    hook()
    remarks = []
    loop(20, window(3, 99), samples=lambda number: 7 if number == 12 else 16,
         each=lambda *_: remarks.append(compiling.remark()))
    print(compiling.describe()["recompiles"], [one for one in remarks if one])
    """
    assert says(tmp_path, code) == "1 []"


def test_a_compiler_that_fails_leaves_the_training_as_it_was_and_its_first_line_is_told(tmp_path: Path) -> None:
    code = """
    class Broken(Net):
        def forward(self, x):
            x = self.drop(self.norm(self.first(x)))
            torch._dynamo.graph_break()
            return self.last(torch.relu(x))
    import torch._dynamo
    def backend(graph, inputs):
        graphs.append(graph)
        if len(graphs) > 1:  # the first half has run by then: it has drawn, and its averages have moved
            raise RuntimeError("no such instruction\\nsecond line")
        return graph
    wanted = loop(10, make=Broken)
    hook()
    compiling.backend = backend
    print(loop(10, window(3, 99), make=Broken) == wanted, compiling.on)
    print(broken)
    """
    said = says(tmp_path, code)
    assert said.startswith("True False")
    assert "no such instruction" in said
    assert "second line" not in said


def test_a_backward_that_cannot_be_compiled_is_found_with_its_forward(tmp_path: Path) -> None:
    code = """
    from torch._dynamo.backends.common import aot_autograd
    def fails(graph, inputs):
        raise RuntimeError("no such kernel")
    wanted = loop(10)
    hook()
    compiling.backend = aot_autograd(fw_compiler=lambda graph, inputs: graph, bw_compiler=fails)
    print(loop(10, window(3, 99)) == wanted, broken)
    """
    said = says(tmp_path, code)
    assert said.startswith("True")
    assert "no such kernel" in said


def test_the_scripts_own_error_is_its_own(tmp_path: Path) -> None:
    code = """
    class Picky(Net):
        def forward(self, x):
            if x.shape[0] == 7:
                raise ValueError("seven is not for me")
            return super().forward(x)
    hook()
    try:
        loop(10, window(3, 99), make=Picky, samples=lambda number: 7 if number == 5 else 16)
    except ValueError as error:
        print(error, error.__context__, broken)
    """
    assert says(tmp_path, code) == "seven is not for me None []"


def test_a_model_of_which_nothing_can_be_compiled_is_refused(tmp_path: Path) -> None:
    code = """
    class Strange(Net):
        @torch._dynamo.disable
        def forward(self, x):
            return super().forward(x)
    import torch._dynamo
    wanted = loop(10, make=Strange)
    hook()
    print(loop(10, window(3, 99), make=Strange) == wanted, broken)
    """
    said = says(tmp_path, code)
    assert said.startswith("True ['torch.compile could compile nothing of Strange")


def test_graph_breaks_are_counted_and_told_once(tmp_path: Path) -> None:
    code = """
    class Broken(Net):
        def forward(self, x):
            x = self.norm(self.first(x))
            torch._dynamo.graph_break()
            return self.last(self.drop(torch.relu(x)))
    import torch._dynamo
    hook()
    told, remarks = {}, []
    def each(number, model):
        told.update(compiling.describe())
        remarks.append(compiling.remark())
    loop(8, window(3, 99), make=Broken, each=each)
    print(told["graphs"], told["graph_breaks"], told["seconds"] > 0)
    print([remark for remark in remarks if remark])
    """
    counts, remarks = says(tmp_path, code).splitlines()
    assert counts == "2 1 True"
    assert remarks.count("of 1 graph break; the first reason: Call to `torch._dynamo.graph_break()`") == 1


@pytest.mark.parametrize(
    ("make", "why"),
    [
        ("lambda: torch.nn.DataParallel(Net())", "wrapped in DataParallel"),
        ("lambda: compiled(Net())", "the script already compiles Net"),
    ],
)
def test_what_is_wrapped_or_compiled_already_is_refused(tmp_path: Path, make: str, why: str) -> None:
    code = f"""
    def compiled(net):
        net.compile(backend="eager")
        return net
    hook()
    try:
        loop(6, window(3, 99), make={make})
    except Refused as refusal:
        print(refusal)
    """
    assert why in says(tmp_path, code) or "the script uses torch.compile itself" in says(tmp_path, code)


def test_facts_do_not_take_our_compiled_code_for_the_scripts(tmp_path: Path) -> None:
    code = """
    from advisor.agent.base import modes
    hook()
    loop(6, window(3, 99))
    print(modes.compiled_by_script(), modes.compiled_code_ran())
    """
    assert says(tmp_path, code) == "False True"


DEEP = """
class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.wide, self.narrow = torch.nn.LayerNorm(8), torch.nn.Linear(8, 32), torch.nn.Linear(32, 8)
        self.drop = torch.nn.Dropout(0.1)

    def forward(self, x):
        return x + self.drop(self.narrow(torch.relu(self.wide(self.norm(x)))))

class Deep(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = torch.nn.Linear(8, 8), torch.nn.Linear(8, 4)
        self.blocks = torch.nn.ModuleList(Block() for _ in range(6))

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)

def by_blocks(first, last):
    def switch(number):
        if number == first:
            compiling.set("blocks")
        if number == last:
            compiling.restore()
    return switch
"""


def test_one_compilation_serves_all_blocks_and_none_keeps_a_trace(tmp_path: Path) -> None:
    code = f"""{textwrap.indent(DEEP, "    ")}
    seen = {{}}
    def each(number, model):
        if number in (2, 8):
            seen[number] = [sorted(vars(block)) for block in model.blocks]
    wanted = loop(12, make=Deep)
    hook()
    print(loop(12, by_blocks(3, 10), make=Deep, each=each) == wanted, len(graphs), broken, seen[2] == seen[8])
    print(sum(node.op == "call_function" for node in graphs[0].graph.nodes) < 20)
    """
    assert says(tmp_path, code).splitlines() == ["True 1 [] True", "True"]


def test_a_block_that_cannot_be_compiled_leaves_the_training_as_it_was(tmp_path: Path) -> None:
    code = f"""{textwrap.indent(DEEP, "    ")}
    def backend(graph, inputs):
        raise RuntimeError("no such instruction")
    wanted = loop(10, make=Deep)
    hook()
    compiling.backend = backend
    print(loop(10, by_blocks(3, 99), make=Deep) == wanted, compiling.on, "no such instruction" in broken[0])
    """
    assert says(tmp_path, code) == "True False True"


def test_a_model_without_blocks_has_none_to_compile(tmp_path: Path) -> None:
    code = f"""{textwrap.indent(DEEP, "    ")}
    hook()
    try:
        loop(10, by_blocks(8, 99))
    except Refused as refusal:
        print(refusal)
    """
    assert says(tmp_path, code) == "the model has no repeated blocks: there is only the whole to compile"


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_inductor_trains_as_eager_does_within_rounding_dropout_and_draws_included(tmp_path: Path) -> None:
    code = """
    wanted = loop(12)
    hook()
    compiling.backend = "inductor"
    found = loop(12, window(3, 9))
    print(farthest(found[0], wanted[0]) < 1e-5, found[2] == wanted[2], broken)
    """
    assert says(tmp_path, code) == "True True []"


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_what_compiling_took_is_told_and_the_update_that_paid_is_not_counted(tmp_path: Path) -> None:
    code = """
    from advisor import wire
    from tests.agent.probe.test_conductor import Left, Loop

    plan = [wire.Window(id=name, config=config, warm_up_updates=2, min_updates=6, max_updates=6, max_s=5.0)
            for name, config in (("base", {}), ("compiled", {"compile": "default"}))]
    ran = Loop(wire.Plan(plan, final=True))
    clock, roots, steps = ran.clock, ran.controls.roots, ran.controls.steps
    hook()
    try:
        loop(40)
    except Left:
        pass
    base, compiled = ran.channel.of(wire.WindowDone)
    print(base.set_up_s, base.extra, compiled.extra["compile"]["graphs"])
    # Two updates of warm-up are dropped, and the one that compiled before them.
    print(compiled.set_up_s > 0, len(compiled.wall_s), compiled.dropped_updates)
    """
    assert says(tmp_path, code).splitlines() == ["None {} 1", "True 6 3"]


@functools.cache
def by_name() -> tuple[dict[str, Any], bytes, str]:
    with tempfile.TemporaryDirectory() as folder:
        return trained(Path(folder), "{compile: default}")


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_a_real_training_saves_what_it_saves_alone_within_rounding() -> None:
    untouched, whole_alone = alone()
    found, whole, said = by_name()
    assert said == ""
    assert list(found["model"]) == list(untouched["model"])
    farthest = max((found["model"][name] - untouched["model"][name]).abs().max().item() for name in untouched["model"])
    assert 0 < farthest < 1e-5  # compiled code rounds otherwise
    assert len(whole) == len(whole_alone)


# --- in the controller ------------------------------------------------------------------------------------------------

CPU = evolve(healthy_cpu(), {"workload": {"facts": {"cxx": True, "triton": False}}})
CUDA = evolve(healthy_cuda(), {"workload": {"facts": {"cxx": False, "triton": True}}})


def test_on_a_cpu_there_is_one_mode() -> None:
    assert values(CPU).values == ("default",)


MANY = {"workload": {"facts": {"repeated_block_count": 12}}}


def test_one_of_many_blocks_is_compiled_before_all_of_them() -> None:
    assert values(evolve(CPU, MANY)).values == ("blocks", "default")
    assert values(evolve(CUDA, MANY)).values[:2] == ("blocks", "default")


def test_a_few_blocks_are_compiled_as_one_model() -> None:
    assert values(evolve(CPU, {"workload": {"facts": {"repeated_block_count": 2}}})).values == ("default",)


def test_graphs_come_before_blocks_where_launches_limit() -> None:
    limited = evolve(CUDA, {"workload": {"facts": {"launches_limit": True, "repeated_block_count": 12}}})
    assert values(limited).values == ("reduce-overhead", "blocks", "default", "max-autotune-no-cudagraphs")


def test_without_a_compiler_it_is_closed_on_a_cpu() -> None:
    assert "no C++ compiler" in values(evolve(CPU, {"workload": {"facts": {"cxx": False}}})).why_closed


def test_on_cuda_there_are_three_where_shapes_are_fixed() -> None:
    assert values(CUDA).values == ("default", "reduce-overhead", "max-autotune-no-cudagraphs")


def test_where_launches_limit_graphs_come_first() -> None:
    limited = evolve(CUDA, {"workload": {"facts": {"launches_limit": True}}})
    assert values(limited).values == ("reduce-overhead", "default", "max-autotune-no-cudagraphs")


def test_graphs_and_tuning_are_not_for_shapes_that_change() -> None:
    assert values(evolve(CUDA, {"workload": {"fixed_shapes": False}})).values == ("default",)


def test_without_triton_it_is_closed_on_cuda() -> None:
    assert "Triton" in values(evolve(CUDA, {"workload": {"facts": {"triton": False}}})).why_closed


def test_a_device_too_old_for_triton_closes_it() -> None:
    old = evolve(CUDA.hardware.accelerators[0], {"compute_capability": (6, 1)})
    assert "6.1" in values(evolve(CUDA, {"hardware": {"accelerators": (old,)}})).why_closed


def test_a_model_that_is_compiled_closes_it() -> None:
    assert "already compiles" in values(evolve(CPU, {"workload": {"models": (model(compiled=True),)}})).why_closed


def test_compiled_code_elsewhere_closes_it() -> None:
    assert "itself" in values(evolve(CPU, {"workload": {"facts": {"compiled_code": True}}})).why_closed


def test_a_wrapper_for_several_devices_closes_it() -> None:
    assert "wrapped" in values(evolve(CPU, {"workload": {"models": (model(distributed=True),)}})).why_closed


def test_only_modes_that_there_are_may_be_asked_for() -> None:
    wrong = knobs.get("compile").wrong
    assert [wrong(value) is None for value in ("default", "fast", True, False)] == [True, False, True, False]


def test_true_in_an_older_file_means_the_default_mode() -> None:
    """Every format and a real training take it for `default`."""
    by_true = exports.artifacts(Document(config=Config.of({"compile": True})), FORMATS)
    by_name = exports.artifacts(Document(config=Config.of({"compile": "default"})), FORMATS)
    assert [made.content for made in by_true] == [made.content for made in by_name]
    assert all("'mode': 'default'" in made.not_expressed[0].why for made in by_true if made.target == "deepspeed")


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_a_real_training_takes_true_for_the_default_mode(tmp_path: Path) -> None:
    by_true, _, said = trained(tmp_path, "{compile: true}")
    named = by_name()[0]["model"]
    assert said == ""
    assert all(torch.equal(by_true["model"][name], named[name]) for name in named)


def test_a_compilation_that_never_ends_is_no_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = compile_watch.CompileWatch()
    monkeypatch.setattr(compile_watch.time, "perf_counter", lambda: now[0])
    now = [100.0]
    assert not watch.at_work()
    watch._begins()
    now[0] += compile_watch.LONGEST_S - 1
    assert watch.at_work()
    now[0] += 2
    assert not watch.at_work()
