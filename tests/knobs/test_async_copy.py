"""async_copy: batches of the loader, and nothing else, are copied without waiting; what cannot be is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from live import says
from stand_in import DEVICE

from advisor import knobs, rules
from advisor.rules._examples import evolve, healthy_cpu, healthy_cuda, train_loader
from advisor.types import Evidence

KNOB = knobs.get("async_copy")


def values(evidence: Evidence) -> Any:
    return KNOB.values(evidence.hardware, evidence.workload)


def test_it_is_for_batches_that_go_to_cuda_and_are_pinned() -> None:
    pinned = evolve(healthy_cuda(), {"workload": {"loaders": (train_loader(pin_memory=True),)}})
    pageable = evolve(healthy_cuda(), {"workload": {"loaders": (train_loader(pin_memory=False),)}})
    assert (values(pinned).values, values(pinned).needed_is_on) == ((True,), True)
    assert (values(pageable).values, values(pageable).needed_is_on) == ((True,), False)
    assert KNOB.needs == "pin_memory"
    assert KNOB.usual_on_accelerator
    assert "async_copy" in rules.get("blocking_copy").knobs


def test_a_training_on_the_cpu_or_without_a_loader_closes_it() -> None:
    assert "runs on cpu" in values(healthy_cpu()).why_closed
    assert "no DataLoader" in values(evolve(healthy_cuda(), {"workload": {"loaders": ()}})).why_closed


@pytest.mark.slow
def test_without_a_device_it_is_refused(tmp_path: Path) -> None:
    code = """
    hook()
    try:
        train({3: {"async_copy": True}})
    except Refused as refused:
        print(refused, controls.settings)
    """
    assert says(tmp_path, code) == "there is no CUDA device to copy to {}"


@pytest.mark.slow
def test_batches_are_copied_without_waiting_while_it_stands_and_losses_are_the_same(tmp_path: Path) -> None:
    code = """
    hook()
    wanted = train_there()
    waited = [asynchronous for _, asynchronous, _ in calls]
    calls.clear()
    switched = train_there({3: {"async_copy": True}, 9: {}})
    print(switched == wanted, any(waited), [asynchronous for _, asynchronous, _ in calls[:20]].count(True))
    print([asynchronous for _, asynchronous, _ in calls[6:18]], torch.Tensor.to is ITSELF, controls.broken)
    """
    said = says(tmp_path, DEVICE, code).splitlines()
    assert said == ["True False 12", f"{[True] * 12} True {{}}"]


@pytest.mark.slow
def test_tensors_of_the_scripts_own_are_copied_as_it_has_it(tmp_path: Path) -> None:
    code = """
    hook()
    def look(number):
        if number == 6:
            calls.clear()
            own = torch.ones(3)
            own.to('meta'), own.to('meta', non_blocking=True), kept[0].to(torch.float64)
            print([asynchronous for _, asynchronous, _ in calls])
    kept = [torch.ones(2)]
    train_there({3: {"async_copy": True}}, look=look)
    """
    assert says(tmp_path, DEVICE, code) == "[False, True]"


@pytest.mark.slow
def test_what_is_not_pinned_is_waited_for_and_the_setting_given_up(tmp_path: Path) -> None:
    code = """
    hook()
    backend.pinned = False
    train_there({3: {"async_copy": True}})
    print(any(asynchronous for _, asynchronous, _ in calls), controls.broken)
    """
    why = "no tensor that the loader delivers in page-locked memory is copied by the training thread"
    assert says(tmp_path, DEVICE, code) == f"False {{'async_copy': '{why}'}}"


@pytest.mark.slow
def test_a_script_that_writes_to_its_batches_is_noticed(tmp_path: Path) -> None:
    code = """
    hook()
    train_there({3: {"async_copy": True}}, write=True)
    print(controls.broken)
    """
    why = "the script writes to its batches after it has copied them to the device"
    assert says(tmp_path, DEVICE, code) == f"{{'async_copy': '{why}'}}"


@pytest.mark.slow
def test_streams_that_the_script_orders_itself_are_left_to_it(tmp_path: Path) -> None:
    code = """
    hook()
    stream[0] = 'the script\\'s own'
    train_there({3: {"async_copy": True}})
    print(any(asynchronous for _, asynchronous, _ in calls))
    """
    assert says(tmp_path, DEVICE, code) == "False"
