"""pin_memory: only where batches go to a device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from live import says

from advisor import knobs
from advisor.rules._examples import evolve, healthy_cpu, healthy_cuda, train_loader
from advisor.types import Evidence

KNOB = knobs.get("pin_memory")


def on_cuda(**loader: Any) -> Evidence:
    found: Evidence = evolve(healthy_cuda(), {"workload": {"loaders": (train_loader(**loader),)}})
    return found


def values(evidence: Evidence) -> Any:
    return KNOB.values(evidence.hardware, evidence.workload)


def test_a_device_that_batches_go_to_opens_it() -> None:
    assert values(on_cuda(pin_memory=False)).values == (True,)


def test_without_an_accelerator_it_is_closed() -> None:
    assert values(healthy_cpu()).why_closed.startswith("training runs on cpu")


def test_an_accelerator_that_the_training_does_not_use_is_told() -> None:
    unused = evolve(healthy_cpu(), {"hardware": {"accelerators": healthy_cuda().hardware.accelerators}})
    assert "1 in the machine" in values(unused).why_closed


def test_pinned_already_closes_it() -> None:
    assert "already pinned" in values(on_cuda(pin_memory=True)).why_closed


@pytest.mark.parametrize(("workers", "effect"), [(0, "exact"), (2, "resampled")])
def test_starting_workers_anew_draws_other_numbers(workers: int, effect: str) -> None:
    found = on_cuda(pin_memory=False, num_workers=workers)
    assert KNOB.effect(found.hardware, found.workload) == effect


def test_without_an_accelerator_the_script_is_left_alone_and_told_why(tmp_path: Path) -> None:
    code = """
    wanted = train()
    hook()
    told = []
    def look(number):
        try:
            controls.set_config({"pin_memory": True})
        except Refused as refusal:
            told.append(str(refusal))
    print(train(look=look).same(wanted), told[-1])
    """
    assert says(tmp_path, code) == "True pin_memory=True needs an accelerator, and torch finds none"
