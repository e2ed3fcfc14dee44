"""The loader's own work: whole batches beside samples one by one, and iterators that are given up early."""

from __future__ import annotations

from dataclasses import replace

import pytest

from advisor import wire
from advisor.analysis.counted import Counted
from advisor.analysis.loader_summary import loader_times, restarts
from advisor.analysis.profile_plan import FIRST
from advisor.rules._examples import healthy_cpu
from advisor.types import EpochEnd

from .windows import done, result

WORKLOAD = healthy_cpu().workload
"""Its loader has 500 batches an epoch."""


def window(**sums: object) -> wire.WindowDone:
    """Fifty updates of two micro-steps in 5 s."""
    found = wire.LoaderSums(**{"batches": 100, "samples": 800, "workers": 0, **sums})  # type: ignore[arg-type]  # given by name
    return replace(done(FIRST, [0.1] * 50, micro_steps=2), loader=found)


def test_whole_batches_are_those_of_an_update() -> None:
    extra = {
        "batches": 40,
        "fetch_s": 1.5,
        "collate_s": 0.5,
        "rows_read": "whole",
        "whole_s": 0.01,
        "sample_bytes": 8.0,
    }
    inside = (wire.Window(id="loader_alone inside", kind="drain"), done("loader_alone inside", [], extra=extra), 0)
    found = loader_times(Counted(window()), result(inside), WORKLOAD)
    assert found is not None
    assert (found.rows_read, found.sample_bytes, found.opened) == ("whole", 8.0, "")
    assert (found.rows_s, found.whole_s) == pytest.approx((2 * 0.05, 2 * 0.01))


def test_a_file_opened_again_is_named() -> None:
    extra: dict[str, object] = {
        "batches": 40,
        "fetch_s": None,
        "collate_s": None,
        "opened": "x.npz['a']",
        "opened_per_sample": 1.0,
    }
    inside = (wire.Window(id="loader_alone inside", kind="drain"), done("loader_alone inside", [], extra=extra), 0)
    found = loader_times(Counted(window()), result(inside), WORKLOAD)
    assert found is not None
    assert (found.opened, found.opened_per_sample, found.rows_s) == ("x.npz['a']", 1.0, None)


def test_an_iterator_given_up_early_is_charged_to_the_batches_taken_from_it() -> None:
    ending = EpochEnd(seen=True, seconds={"loader_restart": 0.3})
    found = restarts(Counted(window(restarts=50, draw_s=10.0)), ending, result(), WORKLOAD)
    assert found is not None
    assert (found.batches_per_start, found.updates_per_epoch) == (2.0, 1.0)
    assert found.draw_s == pytest.approx(0.2)
    assert found.share == pytest.approx(0.3 / (0.3 + 0.1))


def test_whole_epochs_are_as_long_as_the_loader_says() -> None:
    ending = EpochEnd(seen=True, seconds={"loader_restart": 0.3})
    workload = replace(WORKLOAD, loaders=(replace(WORKLOAD.loaders[0], length_batches=30),))
    found = restarts(Counted(window(restarts=4)), ending, result(), workload)
    assert found is not None
    assert (found.batches_per_start, found.updates_per_epoch) == (25.0, 15.0)


def test_two_starts_show_no_length() -> None:
    ending = EpochEnd(seen=True, seconds={"loader_restart": 0.3})
    found = restarts(Counted(window(restarts=2)), ending, result(), WORKLOAD)
    assert found is not None
    assert (found.batches_per_start, found.updates_per_epoch) == (None, 250.0)


def test_a_single_start_inside_the_window_is_known_without_a_whole_epoch() -> None:
    seen = window(restarts=1, draw_s=0.2)
    seen.off_step_s["loader_restart"] = [0.0] * 30 + [0.25] + [0.0] * 19
    found = restarts(Counted(seen), EpochEnd(), result(), WORKLOAD)
    assert found is not None
    assert (found.seconds_per_restart, found.draw_s, found.updates_per_epoch) == (0.25, 0.2, 250.0)


def test_a_start_before_the_first_update_is_the_scripts_own_beginning() -> None:
    seen = window(restarts=1)
    seen.off_step_s["loader_restart"] = [0.25] + [0.0] * 49
    assert restarts(Counted(seen), EpochEnd(), result(), WORKLOAD) is None
