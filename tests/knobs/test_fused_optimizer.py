"""fused_optimizer: another form of the same step, and back to the script's own without a trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from live import says

from advisor import knobs
from advisor.rules._examples import evolve, healthy_cpu, optimizer
from advisor.types import Evidence

KNOB = knobs.get("fused_optimizer")


def workload(**changes: Any) -> Evidence:
    found: Evidence = evolve(healthy_cpu(), {"workload": {"optimizers": (optimizer(**changes),)}})
    return found


def values(**changes: Any) -> Any:
    evidence = workload(**changes)
    return KNOB.values(evidence.hardware, evidence.workload)


def test_a_step_tensor_by_tensor_can_become_either() -> None:
    assert values(fused=False, foreach=False).values == ("fused", "foreach")


def test_on_an_accelerator_one_kernel_is_all_that_is_tried() -> None:
    evidence = evolve(workload(fused=False, foreach=False), {"workload": {"device": "cuda"}})
    assert KNOB.values(evidence.hardware, evidence.workload).values == ("fused",)


def test_a_step_in_one_call_can_become_one_kernel() -> None:
    assert values(fused=False, foreach=True).values == ("fused",)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fused": True, "foreach": False}, "AdamW is already fused"),
        ({"class_name": "Lion", "fused": None, "foreach": None}, "Lion has neither"),
        ({"class_name": "RMSprop", "fused": None, "foreach": True}, "RMSprop has no fused form"),
    ],
)
def test_what_closes_it_is_said(changes: dict[str, Any], reason: str) -> None:
    assert reason in values(**changes).why_closed


def test_without_an_optimizer_it_is_closed() -> None:
    evidence: Evidence = evolve(healthy_cpu(), {"workload": {"optimizers": ()}})
    assert "no optimizer" in str(KNOB.values(evidence.hardware, evidence.workload).why_closed)


def test_only_a_class_without_a_fused_form_keeps_every_bit() -> None:
    found = [workload(fused=None, foreach=False), workload(fused=False, foreach=False)]
    assert [KNOB.effect(e.hardware, e.workload) for e in found] == ["exact", "numerics"]


CLASSES = [
    "AdamW(m.parameters(), lr=1e-3)",
    "Adam(m.parameters(), lr=1e-3, amsgrad=True)",
    "SGD(m.parameters(), lr=1e-2, momentum=0.9)",
    "Adagrad(m.parameters(), lr=1e-2)",
]


@pytest.mark.parametrize("made", CLASSES)
def test_a_window_of_fused_steps_trains_the_same_but_for_rounding(tmp_path: Path, made: str) -> None:
    code = f"""
    make = lambda m: torch.optim.{made}
    wanted = train(make_optimizer=make)
    hook()
    switched = train({{5: {{"fused_optimizer": "fused"}}, 15: {{}}}}, make_optimizer=make)
    print(switched.close(wanted))
    """
    assert says(tmp_path, code) == "True"


@pytest.mark.parametrize("made", [*CLASSES, "RMSprop(m.parameters(), lr=1e-3)"])
def test_a_window_of_foreach_trains_the_same_bit_for_bit(tmp_path: Path, made: str) -> None:
    code = f"""
    make = lambda m: torch.optim.{made}
    wanted = train(make_optimizer=make)
    hook()
    switched = train({{5: {{"fused_optimizer": "foreach"}}, 15: {{}}}}, make_optimizer=make)
    print(switched.same(wanted))
    """
    assert says(tmp_path, code) == "True"


def test_the_fused_kernel_is_what_runs(tmp_path: Path) -> None:
    code = """
    hook()
    calls, original = [], torch._fused_adamw_
    def counted(*args, **kwargs):
        calls.append(clock.updates)
        return original(*args, **kwargs)
    torch._fused_adamw_ = counted
    train({5: {"fused_optimizer": "fused"}, 15: {}})
    print(calls)
    """
    assert says(tmp_path, code) == str(list(range(5, 15)))


def test_the_optimizer_is_as_the_script_made_it_afterwards(tmp_path: Path) -> None:
    code = """
    def told(optimizer):
        groups = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
        marks = {k: v for k, v in vars(optimizer).items() if isinstance(v, bool)}
        steps = [(s["step"].item(), s["step"].dtype, s["step"].device) for s in optimizer.state.values()]
        return repr((groups, marks, steps, optimizer._optimizer_state_dict_post_hooks))
    wanted = told(train().optimizer)
    hook()
    switched = told(train({5: {"fused_optimizer": "fused"}, 9: {"fused_optimizer": "foreach"}, 15: {}}).optimizer)
    print(switched == wanted or (switched, wanted))
    """
    assert says(tmp_path, code) == "True"


@pytest.mark.parametrize("form", ["fused", "foreach"])
def test_a_checkpoint_written_meanwhile_is_the_scripts_own(tmp_path: Path, form: str) -> None:
    code = f"""
    def written(state):
        return [{{k: v for k, v in group.items() if k != "params"}} for group in state["param_groups"]]
    saved = []
    wanted = train(epochs=1).optimizer.state_dict()
    hook()
    look = lambda number: saved.append(steps.optimizers()[0][0].state_dict())
    train({{3: {{"fused_optimizer": "{form}"}}}}, epochs=1, look=look)
    print(written(saved[-1]) == written(wanted), saved[-1]["state"].keys() == wanted["state"].keys())
    """
    assert says(tmp_path, code) == "True True"


def test_step_counts_of_doubles_are_doubles_again_afterwards(tmp_path: Path) -> None:
    code = """
    torch.set_default_dtype(torch.float64)
    hook()
    data = [(torch.rand(4, 3, 8, 8), torch.arange(4)) for _ in range(20)]
    seen = []
    look = lambda number: seen.append(next(iter(steps.optimizers()[0][0].state.values()))["step"].dtype)
    train({5: {"fused_optimizer": "fused"}, 10: {}}, make_loader=lambda: data, epochs=1, look=look)
    print(seen[3], seen[7], seen[15])
    """
    assert says(tmp_path, code) == "torch.float64 torch.float32 torch.float64"


SCALED = """
def scaled(config):
    torch.manual_seed(0)
    model = torch.nn.Linear(8, 4)
    optimizer = torch.optim.{made}
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    done = clock.updates
    def on_update(update):
        if clock.updates - done == 3:
            controls.set_config(config)
    clock.on_update = on_update
    losses = []
    for number in range(15):
        loss = (model(torch.randn(16, 8)) ** 2).mean()
        optimizer.zero_grad()
        scaler.scale(loss * (float("inf") if number == 6 else 1.0)).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    controls.set_config({{}})
    return torch.tensor(losses), scaler.get_scale()

wanted, scale = scaled({{}})
hook()
losses, scale_then = scaled({{"fused_optimizer": "fused"}})
print(torch.allclose(losses, wanted, rtol=1e-5), scale_then == scale == 512.0)
"""


@pytest.mark.parametrize("made", ["SGD(model.parameters(), lr=0.1, momentum=0.9)", "AdamW(model.parameters())"])
def test_a_scaler_of_the_scripts_own_skips_the_same_step(tmp_path: Path, made: str) -> None:
    assert says(tmp_path, SCALED.format(made=made)) == "True True"


REFUSED = """
hook()
told = []
def look(number):
    try:
        controls.set_config({{"fused_optimizer": "fused"}})
    except Refused as refusal:
        told.append(str(refusal))
train(make_optimizer=lambda m: {made}, look=look, epochs=1)
print(told[-1])
"""


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ("torch.optim.RMSprop(m.parameters(), lr=1e-3)", "RMSprop has no fused form"),
        ("torch.optim.Adam(m.parameters(), lr=1e-3, differentiable=False, foreach=True) and Own(m)", "Own has no"),
    ],
)
def test_what_cannot_be_fused_is_refused(tmp_path: Path, made: str, reason: str) -> None:
    own = """
class Own(torch.optim.SGD):
    '''Steps in its own way, whatever its groups say.'''
    def __init__(self, model):
        super().__init__(model.parameters(), lr=1e-3)
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.sub_(1e-3 * parameter.grad.sign())
"""
    assert reason in says(tmp_path, own + REFUSED.format(made=made))
