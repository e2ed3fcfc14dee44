"""Knobs of one loader set by one configuration and taken back by the next, in any combination."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from agent.loader_kit import Loop, Numbers
from torch.utils.data import DataLoader

from advisor.agent.bench import Bench
from advisor.agent.clock import StepClock
from advisor.agent.loader import LoaderHooks
from advisor.agent.refused import Refused
from advisor.agent.roots import Roots
from advisor.agent.steps import Steps


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A script that is reading a loader without workers."""
    clock = StepClock()
    hooks = LoaderHooks(clock)
    hooks.install()
    made = Bench(clock=clock, roots=Roots(clock), steps=Steps(clock), loaders=hooks)
    made.iterator = iter(DataLoader(Numbers(4000), batch_size=4))  # type: ignore[attr-defined]
    next(made.iterator)  # type: ignore[attr-defined]
    Loop(hooks, clock).step()
    yield made
    made.set_config({})
    hooks.close()


def wanted(bench: Bench) -> Any:
    return bench.loaders._deliveries.switch.wanted


WORKERS = {"num_workers": 1, "persistent_workers": True, "prefetch_factor": 4}


def test_a_configuration_of_settings_that_need_each_other_is_applied(bench: Bench) -> None:
    bench.set_config(WORKERS)
    assert wanted(bench) == WORKERS


def test_and_taken_back_whole(bench: Bench) -> None:
    bench.set_config(WORKERS)
    bench.set_config({})
    assert (wanted(bench), bench.settings) == ({}, {})


def test_the_next_configuration_keeps_what_it_has_in_common(bench: Bench) -> None:
    bench.set_config(WORKERS)
    bench.set_config({"num_workers": 1, "prefetch_factor": 4})
    assert wanted(bench) == {"num_workers": 1, "prefetch_factor": 4}


def test_what_cannot_stand_alone_is_refused_and_everything_is_as_written(bench: Bench) -> None:
    bench.set_config(WORKERS)
    with pytest.raises(Refused, match="num_workers is 0"):
        bench.set_config({"prefetch_factor": 4})
    assert (wanted(bench), bench.settings) == ({}, {})


def test_workers_are_started_once_for_all_settings(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    build = bench.loaders._deliveries.switch._build
    monkeypatch.setattr(bench.loaders._deliveries.switch, "_build", lambda *a: built.append(1) or build(*a))
    bench.set_config(WORKERS)
    assert len(built) == 1
