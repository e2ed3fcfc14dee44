"""Knobs of one loader set by one configuration and taken back by the next, in any combination."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from agent.loader_kit import Loop, Numbers
from torch.utils.data import DataLoader

from advisor.agent.loader.hooks import LoaderHooks
from advisor.agent.loop.clock import StepClock
from advisor.agent.loop.roots import Roots
from advisor.agent.loop.steps import Steps
from advisor.agent.settings.controls import Controls
from advisor.agent.settings.precision import Precision
from advisor.refused import Refused


@pytest.fixture
def controls() -> Iterator[Controls]:
    """A script that is reading a loader without workers."""
    clock = StepClock()
    hooks = LoaderHooks(clock)
    hooks.install()
    roots = Roots(clock)
    made = Controls(clock, roots, Steps(clock), hooks, Precision(roots))
    made.iterator = iter(DataLoader(Numbers(4000), batch_size=4))  # type: ignore[attr-defined]
    next(made.iterator)  # type: ignore[attr-defined]
    Loop(hooks, clock).step()
    yield made
    made.set_config({})
    hooks.close()


def wanted(controls: Controls) -> Any:
    return controls.loaders.deliveries.switch.wanted


WORKERS = {"num_workers": 1, "persistent_workers": True, "prefetch_factor": 4}


def test_a_configuration_of_settings_that_need_each_other_is_applied(controls: Controls) -> None:
    controls.set_config(WORKERS)
    assert wanted(controls) == WORKERS


def test_and_taken_back_whole(controls: Controls) -> None:
    controls.set_config(WORKERS)
    controls.set_config({})
    assert (wanted(controls), controls.settings) == ({}, {})


def test_the_next_configuration_keeps_what_it_has_in_common(controls: Controls) -> None:
    controls.set_config(WORKERS)
    controls.set_config({"num_workers": 1, "prefetch_factor": 4})
    assert wanted(controls) == {"num_workers": 1, "prefetch_factor": 4}


def test_what_cannot_stand_alone_is_refused_and_everything_is_as_written(controls: Controls) -> None:
    controls.set_config(WORKERS)
    with pytest.raises(Refused, match="num_workers is 0"):
        controls.set_config({"prefetch_factor": 4})
    assert (wanted(controls), controls.settings) == ({}, {})


def test_workers_are_started_once_for_all_settings(controls: Controls, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    build = controls.loaders.deliveries.switch._build
    monkeypatch.setattr(controls.loaders.deliveries.switch, "_build", lambda *a: built.append(1) or build(*a))
    controls.set_config(WORKERS)
    assert len(built) == 1


@pytest.mark.parametrize("unknown", [{"warp_drive": 9}, {"num_workers": -1}], ids=["unknown", "wrong"])
def test_a_setting_that_no_knob_can_have_is_refused_and_everything_is_as_written(
    controls: Controls, unknown: dict[str, Any]
) -> None:
    controls.set_config(WORKERS)
    with pytest.raises(Refused, match=next(iter(unknown))):
        controls.set_config({**WORKERS, **unknown})
    assert (wanted(controls), controls.settings) == ({}, {})
