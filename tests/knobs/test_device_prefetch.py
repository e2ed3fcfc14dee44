"""device_prefetch: the next batch is copied on a stream of its own, and handed over at the script's own call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from live import says
from stand_in import DEVICE

from advisor import knobs, rules
from advisor.rules._examples import evolve, healthy_cpu, healthy_cuda, train_loader
from advisor.types import Evidence

KNOB = knobs.get("device_prefetch")
PINNING = """
import time
torch.accelerator.is_available = lambda: True
torch.accelerator.current_device_index = lambda: 0
torch.accelerator.set_device_index = lambda _: None
torch.Tensor.pin_memory = lambda tensor, device=None: tensor.clone()

def pinned():
    return images(num_workers=2, pin_memory=True, persistent_workers=True)

def slowly(number):
    time.sleep(0.05)  # the next batch is there by then
"""


def values(evidence: Evidence) -> Any:
    return KNOB.values(evidence.hardware, evidence.workload)


def test_it_is_for_batches_that_go_to_cuda_and_are_pinned() -> None:
    pinned = evolve(healthy_cuda(), {"workload": {"loaders": (train_loader(pin_memory=True),)}})
    assert (values(pinned).values, values(pinned).needed_is_on) == ((True,), True)
    assert KNOB.needs == "pin_memory"
    assert "device_prefetch" in rules.get("blocking_copy").helpful_knobs


def test_a_training_on_the_cpu_closes_it() -> None:
    assert "runs on cpu" in values(healthy_cpu()).why_closed


@pytest.mark.slow
def test_the_next_batch_is_copied_ahead_and_handed_over_and_losses_are_the_same(tmp_path: Path) -> None:
    code = """
    hook()
    wanted = train_there(loader=pinned)
    before = {stream for _, _, stream in calls}
    calls.clear()
    switched = train_there({3: {"device_prefetch": True}, 20: {}}, loader=pinned, look=slowly)
    ahead = sum(stream == 'ahead' for _, _, stream in calls)
    print(switched == wanted, before, backend.handed > 15, backend.handed <= ahead <= backend.handed + 4)
    print(torch.Tensor.to is ITSELF, controls.broken, calls[-1][2], all(pid == os.getpid() for pid, _, _ in calls))
    """
    said = says(tmp_path, DEVICE, PINNING, code).splitlines()
    assert said == ["True {'default'} True True", "True {} default True"]


@pytest.mark.slow
def test_a_copy_is_handed_over_once(tmp_path: Path) -> None:
    """A script that copies a tensor twice has two tensors, as without advisor."""
    code = """
    hook()
    wanted = train_there(loader=pinned, twice=True)
    switched = train_there({3: {"device_prefetch": True}}, loader=pinned, twice=True, look=slowly)
    print(switched == wanted, backend.handed > 15)
    """
    assert says(tmp_path, DEVICE, PINNING, code) == "True True"


@pytest.mark.slow
def test_a_batch_that_was_changed_on_the_host_is_copied_as_it_is_now(tmp_path: Path) -> None:
    code = """
    hook()
    def train_changed(at=None):
        done = clock.updates
        def on_update(update):
            slowly(0)
            if clock.updates - done == 3 and at:
                controls.set_config(at)
        clock.on_update = on_update
        torch.manual_seed(0)
        model, losses = Net(), []
        optimizer = adamw(model)
        for batch, index in (one for loader in [pinned()] for _ in range(4) for one in loader):
            batch.mul_(2)
            loss = torch.nn.functional.cross_entropy(model(batch.to('meta')), index.to('meta') % 4)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        controls.set_config({})
        return losses
    wanted = train_changed()
    print(train_changed({"device_prefetch": True}) == wanted, any(stream == 'ahead' for _, _, stream in calls))
    """
    assert says(tmp_path, DEVICE, PINNING, code) == "True True"


@pytest.mark.slow
def test_a_loader_without_workers_has_nothing_ahead(tmp_path: Path) -> None:
    code = """
    hook()
    train_there({3: {"device_prefetch": True}})
    print(backend.handed, controls.broken)
    """
    why = "no batch was there, in page-locked memory, before the script asked for it"
    assert says(tmp_path, DEVICE, code) == f"0 {{'device_prefetch': '{why}'}}"


@pytest.mark.slow
def test_both_treatments_stand_together(tmp_path: Path) -> None:
    """What was not copied ahead is copied without waiting; each is taken back alone."""
    code = """
    hook()
    wanted = train_there(loader=pinned)
    calls.clear()
    both = {"device_prefetch": True, "async_copy": True}
    switched = train_there({3: both, 12: {"async_copy": True}, 20: {}}, loader=pinned, look=slowly)
    handed = backend.handed
    print(switched == wanted, handed > 8, {waits for _, waits, stream in calls if stream == 'ahead'}, controls.broken)
    print([asynchronous for _, asynchronous, stream in calls][-8:], torch.Tensor.to is ITSELF)
    """
    said = says(tmp_path, DEVICE, PINNING, code).splitlines()
    assert said == ["True True {True} {}", f"{[False] * 8} True"]


@pytest.mark.slow
def test_a_device_that_is_full_ends_the_setting_and_not_the_script(tmp_path: Path) -> None:
    code = """
    hook()
    wanted = train_there(loader=pinned)
    def full(copy, device):
        raise RuntimeError('out of memory')
    backend.copy_ahead = full
    print(train_there({3: {"device_prefetch": True}}, loader=pinned, look=slowly) == wanted, controls.broken)
    """
    assert says(tmp_path, DEVICE, PINNING, code) == "True {'device_prefetch': 'RuntimeError: out of memory'}"
