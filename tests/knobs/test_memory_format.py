"""memory_format: weights of convolutions in channels_last and back, with all that goes element by element with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from live import says

from advisor import knobs
from advisor.rules._examples import conv_model, evolve, healthy_cpu
from advisor.types import Evidence

KNOB = knobs.get("memory_format")


def values(*models: Any) -> Any:
    evidence: Evidence = evolve(healthy_cpu(), {"workload": {"models": models}})
    return KNOB.values(evidence.hardware, evidence.workload)


def test_convolutions_in_the_default_format_open_it() -> None:
    assert values(conv_model()).values == ("channels_last",)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (healthy_cpu().workload.models[0], "no 2-D convolutions"),
        (conv_model(channels_last=True), "already in channels_last"),
        (conv_model(channels_last=None), "1 × 1"),
        (conv_model(compiled=True), "ResNet is compiled"),
        (conv_model(distributed=True), "ResNet is wrapped"),
    ],
)
def test_what_closes_it_is_said(model: Any, reason: str) -> None:
    assert reason in values(model).why_closed


def test_one_of_two_models_is_enough() -> None:
    assert values(conv_model(channels_last=True), conv_model()).values == ("channels_last",)


OPTIMIZERS = [
    "torch.optim.AdamW(m.parameters(), lr=1e-3)",
    "torch.optim.AdamW(m.parameters(), lr=1e-3, fused=True, amsgrad=True)",
    "torch.optim.Adam(m.parameters(), lr=1e-3, foreach=True)",
    "torch.optim.SGD(m.parameters(), lr=1e-2, momentum=0.9, fused=True)",
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_window_of_it_trains_the_same_but_for_rounding(tmp_path: Path, optimizer: str) -> None:
    code = f"""
    make = lambda m: {optimizer}
    wanted = train(make_optimizer=make)
    hook()
    switched = train({{5: {{"memory_format": "channels_last"}}, 15: {{}}}}, make_optimizer=make)
    print(switched.close(wanted))
    """
    assert says(tmp_path, code) == "True"


def test_weights_gradients_and_running_means_change_their_order_together_and_back(tmp_path: Path) -> None:
    code = """
    hook()
    told = []
    def look(number):
        if number in (4, 9, 19):
            model = roots.called()[0].ref()
            weight = model.convolutions[0].weight
            state = steps.optimizers()[0][0].state[weight]
            order = [x.stride() for x in (weight, weight.grad, state["exp_avg"], state["exp_avg_sq"])]
            told.append((len(set(order)), order[0][1]))
    train({5: {"memory_format": "channels_last"}, 9: {"memory_format": "channels_last"}, 15: {}}, look=look)
    print(told)
    """
    assert says(tmp_path, code) == "[(1, 9), (1, 1), (1, 9)]"


def test_what_the_script_holds_of_its_model_stays_the_same_objects(tmp_path: Path) -> None:
    code = """
    hook()
    held = []
    def look(number):
        if number in (4, 9):
            weight = roots.called()[0].ref().convolutions[0].weight
            held.append((id(weight), id(weight.grad), id(steps.optimizers()[0][0].state[weight]["exp_avg"])))
    train({5: {"memory_format": "channels_last"}, 15: {}}, look=look)
    print(held[0][0] == held[1][0], held[0][2] == held[1][2])
    """
    assert says(tmp_path, code) == "True True"


def test_switching_alone_changes_no_number(tmp_path: Path) -> None:
    code = """
    wanted = train()
    hook()
    def look(number):
        controls.memory_format.set("channels_last")
        controls.memory_format.restore()
    print(train(look=look).same(wanted))
    """
    assert says(tmp_path, code) == "True"


def test_weights_that_are_parts_of_one_buffer_are_refused(tmp_path: Path) -> None:
    code = """
    class Flat(Net):
        def __init__(self):
            super().__init__()
            weight = self.convolutions[0].weight
            buffer = torch.zeros(weight.numel() + 8)
            buffer[: weight.numel()] = weight.detach().flatten()
            weight.data = buffer[: weight.numel()].view_as(weight)
    hook()
    told = []
    def look(number):
        try:
            controls.set_config({"memory_format": "channels_last"})
        except Refused as refusal:
            told.append(str(refusal))
    train(make_model=Flat, look=look, epochs=1)
    print(told[-1])
    """
    assert "part of a larger buffer" in says(tmp_path, code)


def test_a_model_without_convolutions_is_refused(tmp_path: Path) -> None:
    code = """
    hook()
    told = []
    def look(number):
        try:
            controls.set_config({"memory_format": "channels_last"})
        except Refused as refusal:
            told.append(str(refusal))
    make = lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 4))
    train(make_model=make, look=look, epochs=1)
    print(told[-1])
    """
    assert "no 2-D convolution" in says(tmp_path, code)
