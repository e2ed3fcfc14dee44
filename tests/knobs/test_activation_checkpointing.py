"""Blocks run again in the backward pass, switched on and off in a running loop: bit for bit the same training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import child
import pytest
import torch
from real_training import alone, trained

from advisor import knobs
from advisor.rules._examples import evolve, healthy_cpu, healthy_cuda, model
from advisor.types import Evidence

LIMIT_S = 240
LOOP = """
import copy, pickle, random, sys
import torch
from torch import nn
from advisor.agent.settings.checkpointing import Checkpointing, facts
from advisor.agent.loop.clock import StepClock
from advisor.agent.settings.compiling import Compiling
from advisor.agent.settings.precision import Precision
from advisor.refused import Refused
from advisor.agent.loop.roots import Roots
from advisor.agent.loop.steps import Steps

clock = StepClock()
roots, steps = Roots(clock), Steps(clock)
broken = []
compiling = Compiling(roots, clock, broken.append)
checkpointing = Checkpointing(roots, compiling, broken.append)
precision = Precision(roots)

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.drop = nn.BatchNorm1d(8), nn.Dropout(0.3)
        self.wide, self.back = nn.Linear(8, 64), nn.Linear(64, 8)

    def forward(self, x, scale=1.0):
        return x + scale * self.back(self.drop(torch.relu(self.wide(self.norm(x)))))

class Net(nn.Module):
    def __init__(self, block=Block):
        super().__init__()
        self.blocks, self.last = nn.ModuleList(block() for _ in range(3)), nn.Linear(8, 4)

    def forward(self, x):
        for block in self.blocks:
            x = block(x, scale=0.5)
        return self.last(x)

def before_step():
    precision.close()
    owned = steps.owned_parameters()
    roots.seek(owned, owned)

def loop(updates, switch=lambda number: None, make=Net, each=lambda number, model: None, autocast=False):
    torch.manual_seed(0)
    random.seed(0)
    model = make()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for number in range(updates):
        batch, target = torch.randn(16, 8), torch.randint(0, 4, (16,))
        switch(number)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            loss = nn.functional.cross_entropy(model(batch), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        each(number, model)
        losses.append(loss.item())
    return losses, {name: value.tolist() for name, value in model.state_dict().items()}, torch.randn(2).tolist()

def hook():
    steps.before_step = before_step
    steps.before_backward = precision.close
    steps.install()

def window(first, last):
    def switch(number):
        if number == first:
            checkpointing.set()
        if number == last:
            checkpointing.restore()
    return switch

def saved_by(model):
    sizes = []
    pack = lambda tensor: sizes.append(tensor.numel()) or tensor
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(torch.ones(16, 8)).sum()
    return sum(sizes)
"""


def says(tmp_path: Path, code: str) -> str:
    return child.says(tmp_path, LOOP, code, limit_s=LIMIT_S)


def values(evidence: Evidence) -> Any:
    return knobs.get("activation_checkpointing").values(evidence.hardware, evidence.workload)


# --- in the loop ------------------------------------------------------------------------------------------------------


def test_losses_parameters_running_averages_and_draws_are_the_same_bit_for_bit(tmp_path: Path) -> None:
    code = """
    wanted = loop(20)
    hook()
    print(loop(20, window(4, 15)) == wanted, broken)
    """
    assert says(tmp_path, code) == "True []"


def test_blocks_are_really_run_again_and_keep_less(tmp_path: Path) -> None:
    code = """
    runs = []
    class Counted(Block):
        def forward(self, x, scale=1.0):
            runs.append(torch.is_grad_enabled())
            return super().forward(x, scale)
    hook()
    counts, saved = [], []
    def each(number, model):
        counts.append(len(runs))
        runs.clear()
        if number in (3, 8, 13):
            state = torch.get_rng_state()
            saved.append(saved_by(model))
            torch.set_rng_state(state)
            runs.clear()
    loop(15, window(5, 12), make=lambda: Net(Counted), each=each)
    print(counts, saved[1] * 5 < saved[0], saved[0] == saved[2])
    """
    # The first update looks at what a call leaves behind.
    assert says(tmp_path, code) == f"{[3] * 6 + [6] * 6 + [3] * 3} True True"


@pytest.mark.parametrize("autocast", [True, False])
def test_autocast_by_hand_and_by_us_is_the_same_in_both_runs(tmp_path: Path, autocast: bool) -> None:
    code = f"""
    def bf16(number):
        if number == 2 and not {autocast}:
            precision.set("bf16")
    def both(number):
        bf16(number)
        window(4, 99)(number)
    hook()
    wanted = loop(12, bf16, autocast={autocast})
    precision.restore()
    print(loop(12, both, autocast={autocast}) == wanted, broken)
    """
    assert says(tmp_path, code) == "True []"


def test_nothing_of_it_is_copied_or_saved_and_nothing_stays_behind(tmp_path: Path) -> None:
    code = """
    seen = {}
    def each(number, model):
        if number in (3, 6, 12):
            state = torch.get_rng_state()
            twin = pickle.loads(pickle.dumps(copy.deepcopy(model)))
            seen[number] = [list(twin.state_dict()), [sorted(vars(inner)) for inner in twin.modules()]]
            if number != 6:
                seen[number].append([sorted(vars(inner)) for inner in model.modules()])
            seen[number, "hooks"] = sum(len(inner._forward_hooks) for inner in model.modules())
            torch.set_rng_state(state)
    hook()
    loop(14, window(4, 10), each=each)
    print(seen[3][:2] == seen[6], seen[3] == seen[12], seen[6, "hooks"])
    """
    assert says(tmp_path, code) == "True True 0"


def test_an_evaluation_is_run_once(tmp_path: Path) -> None:
    code = """
    runs = []
    class Counted(Block):
        def forward(self, x, scale=1.0):
            runs.append(1)
            return super().forward(x, scale)
    def each(number, model):
        runs.clear()
        model.eval()
        with torch.no_grad():
            model(torch.ones(2, 8))
        model.train()
    hook()
    loop(8, window(2, 99), make=lambda: Net(Counted), each=each)
    print(len(runs))
    """
    assert says(tmp_path, code) == "3"


def test_a_graph_that_is_built_when_it_is_taken_back_still_has_its_gradients(tmp_path: Path) -> None:
    code = """
    hook()
    class Switching(Net):
        def forward(self, x):
            result = super().forward(x)
            if calls.append(1) or len(calls) == 8:
                checkpointing.restore()
            return result
    calls = []
    wanted = loop(12, make=Switching)
    calls = []
    print(loop(12, window(3, 99), make=Switching) == wanted)
    """
    assert says(tmp_path, code) == "True"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("self.calls = getattr(self, 'calls', 0) + 1", "its attribute calls"),
        ("random.random()", "it draws random numbers from random"),
        ("self.seen.add_(1)", "its buffer seen"),
    ],
)
def test_a_block_that_leaves_a_trace_is_given_up_and_the_training_is_what_it_was(
    tmp_path: Path, body: str, why: str
) -> None:
    code = f"""
    class Tracing(Block):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(1))
        def forward(self, x, scale=1.0):
            {body}
            return super().forward(x, scale)
    wanted = loop(10, make=lambda: Net(Tracing))
    hook()
    print(loop(10, window(4, 99), make=lambda: Net(Tracing)) == wanted, checkpointing.on)
    print(broken)
    """
    said = says(tmp_path, code)
    assert said.startswith("True False")
    assert said.count("cannot be recomputed") == 1
    assert why in said


def test_what_a_block_sets_up_once_is_no_trace(tmp_path: Path) -> None:
    code = """
    class Lazy(Block):
        def forward(self, x, scale=1.0):
            if checkpointing.on:
                self.width = x.shape[1]
            return super().forward(x, scale)
    seen = []
    def each(number, model):
        seen.append(checkpointing.on)
    hook()
    loop(8, window(2, 99), make=lambda: Net(Lazy), each=each)
    print(broken, seen[-1])
    """
    assert says(tmp_path, code) == "[] True"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        ("nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))", "no repeated blocks"),
        ("hooked(Net())", "hooks of the script"),
        ("flagged(Net())", "already checkpoints Net"),
    ],
)
def test_what_cannot_take_it_is_refused(tmp_path: Path, make: str, why: str) -> None:
    code = f"""
    def hooked(net):
        net.blocks[1].wide.register_forward_hook(lambda *_: None)
        return net
    def flagged(net):
        net.gradient_checkpointing = True
        return net
    hook()
    try:
        loop(6, window(3, 99), make=lambda: {make})
    except Refused as refusal:
        print(refusal)
    """
    assert why in says(tmp_path, code)


@pytest.mark.slow
@pytest.mark.parametrize("first", ["compiling", "checkpointing"])
def test_compiled_code_and_it_are_refused_together(tmp_path: Path, first: str) -> None:
    code = f"""
    compiling.backend = "eager"
    order = [lambda: compiling.set("default"), checkpointing.set]
    if {first!r} == "checkpointing":
        order.reverse()
    def switch(number):
        if number in (3, 4):
            order[number - 3]()
    hook()
    try:
        loop(8, switch)
    except Refused as refusal:
        print(refusal)
    """
    assert "ignores wrappers of a block" in says(tmp_path, code)


@pytest.mark.slow
@pytest.mark.parametrize(("cache", "off"), [(True, 1e-6), (False, 0.0)])
def test_transformers_blocks_take_it_without_the_cache_they_are_given(tmp_path: Path, cache: bool, off: float) -> None:
    pytest.importorskip("transformers")
    code = f"""
    cache = {cache}
    import warnings
    warnings.simplefilter("ignore")
    from transformers import GPT2Config, GPT2LMHeadModel
    def make():
        sizes = dict(vocab_size=50, n_positions=16, n_embd=16, n_layer=3, n_head=2, use_cache=cache)
        return GPT2LMHeadModel(GPT2Config(**sizes))
    def train(switch):
        torch.manual_seed(0)
        model, losses = make(), []
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        for number in range(10):
            switch(number)
            tokens = torch.randint(0, 50, (4, 16))
            loss = model(input_ids=tokens, labels=tokens).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses
    wanted = train(lambda number: None)
    hook()
    seen = []
    def switch(number):
        window(4, 8)(number)
        seen.append(checkpointing.on)
    found = train(switch)
    print(max(abs(one - other) for one, other in zip(found, wanted)), broken, seen.count(True))
    """
    farthest, told = says(tmp_path, code).splitlines()[-1].split(" ", 1)
    assert (float(farthest) <= off, told) == (True, "[] 4")


@pytest.mark.slow
def test_a_real_training_saves_the_same_bytes(tmp_path: Path) -> None:
    untouched, whole_alone = alone()
    found, whole, said = trained(tmp_path, "{activation_checkpointing: true}")
    assert said == ""
    assert list(found["model"]) == list(untouched["model"])
    assert all(torch.equal(found["model"][name], untouched["model"][name]) for name in untouched["model"])
    assert whole == whole_alone


# --- facts and the controller -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "said"),
    [
        ("Net()", "3 Block with 99% of the parameters outside of embeddings"),
        ("nn.Linear(8, 8)", None),
        ("nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))", None),
        ("nn.Sequential(Net(), nn.Linear(8, 4000))", None),
        ("nn.Sequential(nn.Embedding(4000, 8), Net())", "3 Block with 99% of the parameters outside of embeddings"),
    ],
)
def test_blocks_are_what_the_model_is_made_of(tmp_path: Path, make: str, said: str | None) -> None:
    assert says(tmp_path, f"print(facts([{make}], 0).get('repeated_blocks'))") == str(said)


BLOCKS = {"facts": {"repeated_blocks": "12 Block with 97% of the parameters", "checkpointing": False}}


def test_it_is_open_where_the_model_has_blocks() -> None:
    assert values(evolve(healthy_cuda(), {"workload": BLOCKS})).values == (True,)


def test_it_is_closed_without_blocks() -> None:
    assert "no repeated blocks" in values(healthy_cuda()).why_closed


@pytest.mark.parametrize("blocks", [None, BLOCKS["facts"]["repeated_blocks"]])
def test_a_script_that_does_it_itself_may_stop(blocks: str | None) -> None:
    facts = {"repeated_blocks": blocks, "checkpointing": True}
    assert values(evolve(healthy_cuda(), {"workload": {"facts": facts}})).values == (False,)


def test_it_is_closed_under_compiled_code() -> None:
    found = evolve(healthy_cuda(), {"workload": {**BLOCKS, "models": (model(compiled=True),)}})
    assert "compiled" in values(found).why_closed


def test_it_is_exact_where_the_same_kernels_run_twice() -> None:
    knob = knobs.get("activation_checkpointing")
    cuda = evolve(healthy_cuda(), {"workload": {"flags": {"autocast_dtype": None, "deterministic": False}}})
    cpu = evolve(healthy_cpu(), {"workload": {"flags": {"autocast_dtype": None}}})
    autocast = evolve(cpu, {"workload": {"flags": {"autocast_dtype": "bfloat16"}}})
    caches = evolve(cpu, {"workload": {"facts": {"packages": {"transformers": "5.23"}}}})
    effects = [knob.effect(found.hardware, found.workload) for found in (cpu, autocast, cuda, caches)]
    assert effects == ["exact", "numerics", "numerics", "numerics"]


def test_only_true_and_false_may_be_asked_for() -> None:
    wrong = knobs.get("activation_checkpointing").wrong
    assert [wrong(value) is None for value in (True, False, 1, "yes")] == [True, True, False, False]
