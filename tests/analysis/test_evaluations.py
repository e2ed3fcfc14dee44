"""Share of the evaluations, with an interval that says how few were seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from advisor import wire
from advisor.analysis.counted import Counted
from advisor.analysis.evaluations import ALONE, evaluation_use
from advisor.analysis.profile_plan import EPOCH_ENDS, FIRST
from advisor.rules._examples import healthy_cpu
from advisor.runtime.session_result import SessionResult
from advisor.types import EvaluationUse

from .windows import base, done, result

WORKLOAD = healthy_cpu().workload
EPOCH_S = 500 * 0.1
"""Its loader has 500 batches."""


def use(first: wire.WindowDone, *others: tuple[wire.Window, wire.WindowDone, int]) -> EvaluationUse | None:
    found: SessionResult = result((wire.Window(id=FIRST, role=wire.WindowRole.PROFILE), first, 0), *others)
    return evaluation_use(Counted(first), found, WORKLOAD)


def end(name: str, seconds: float) -> tuple[wire.Window, wire.WindowDone, int]:
    forced = done(name, [seconds + 0.1, 0.1, 0.1], evaluation_s=[seconds, 0.0, 0.0])
    return wire.Window(id=name, kind="epoch_end"), forced, 0


def test_one_end_of_an_epoch_has_a_wide_interval() -> None:
    found = use(done(FIRST, [0.1] * 40), end(EPOCH_ENDS[0], 10.0))
    assert found is not None
    assert (found.count, found.seconds) == (1, 10.0)
    assert found.share == pytest.approx(10 / (10 + EPOCH_S))
    assert found.high == pytest.approx(13 / (13 + EPOCH_S))
    assert ALONE == 0.3


def test_two_ends_that_agree_have_a_narrower_one() -> None:
    one = use(done(FIRST, [0.1] * 40), end(EPOCH_ENDS[0], 10.0))
    two = use(done(FIRST, [0.1] * 40), end(EPOCH_ENDS[0], 10.0), end(EPOCH_ENDS[1], 10.2))
    assert one is not None
    assert two is not None
    assert two.count == 2
    assert two.high - two.low < 0.6 * (one.high - one.low)


def test_evaluations_inside_are_counted_by_whole_cycles() -> None:
    """Two in a window that begins right before the first: by the window's length it would be a quarter more."""
    evaluation_s = [0.0, 1.0] + [0.0] * 9 + [1.0]
    found = use(done(FIRST, [0.1 + spent for spent in evaluation_s], evaluation_s=evaluation_s))
    assert found is not None
    assert found.share == pytest.approx(0.5)
    assert found.count == 2


def test_one_evaluation_inside_may_as_well_be_none_or_two() -> None:
    evaluation_s = [0.0] * 9 + [1.0] + [0.0] * 10
    found = use(
        done(FIRST, [0.1 + spent for spent in evaluation_s], evaluation_s=evaluation_s), base("base", 5.0, [0.1] * 10)
    )
    assert found is not None
    assert found.share == pytest.approx(1 / 4)
    assert (found.low, found.high) == (0.0, pytest.approx(1 / 2))


def evaluated_once(restarts: int) -> wire.WindowDone:
    """An evaluation of a second in a second of updates; a loader begins anew beside it."""
    evaluation_s = [0.0] * 9 + [1.0]
    window = done(FIRST, [0.1 + spent for spent in evaluation_s], evaluation_s=evaluation_s)
    beside = {**window.off_step_s, "loader_restart": [0.0] * 9 + [0.001]}
    sums = wire.LoaderSums(batches=10, samples=80, workers=0, restarts=restarts)
    return replace(window, off_step_s=beside, loader=sums)


def test_an_evaluation_is_at_an_epochs_end_only_if_the_train_loader_begins_anew() -> None:
    at_end, inside = use(evaluated_once(1)), use(evaluated_once(0))
    assert at_end is not None
    assert inside is not None
    assert at_end.share == pytest.approx(1 / (1 + EPOCH_S))
    assert inside.share == pytest.approx(1 / 2)


def test_what_an_evaluation_consists_of_is_split() -> None:
    window, forced, number = end(EPOCH_ENDS[0], 10.0)
    parts = {"forward": 4.0, "data_wait": 1.0, "other": 5.0}
    found = use(done(FIRST, [0.1] * 40), (window, replace(forced, extra={"evaluation_phases_s": parts}), number))
    assert found is not None
    assert (found.forward_fraction, found.wait_fraction) == (0.4, 0.1)


def test_no_evaluation_is_none() -> None:
    assert use(done(FIRST, [0.1] * 40)) is None
