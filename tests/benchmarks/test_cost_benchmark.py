"""What trying a configuration costs: the windows are those of a search."""

from __future__ import annotations

import cost
import pytest
from analysis.windows import done

from advisor import wire
from advisor.runtime.session_result import Outcome

SLOW: cost.Settings = {"num_workers": 0}
FAST: cost.Settings = {"precision": "bf16"}
FASTER: cost.Settings = {"num_workers": 2}
UPDATE_S = {"fp32 0": 0.1, "bf16 0": 0.05, "fp32 2": 0.04}


def test_a_trial_is_compared_with_the_best_so_far_once_that_is_much_faster() -> None:
    assert compared([SLOW, FAST, SLOW, FASTER, SLOW]) == [{}, {}, FAST, FAST, FASTER]


def test_two_trials_share_a_window_between_them() -> None:
    planner = cost.trials([SLOW, SLOW, SLOW], cost.pace(0.25))
    batches, outcomes = [next(planner)], {}
    for _trial in range(3):
        outcomes.update({window.id: measured(window) for window in windows_of(batches[-1])})
        batches.append(planner.send(outcomes))
    assert [len(windows_of(batch)) for batch in batches] == [1, 1, 2, 1]


def test_windows_that_were_not_measured_are_no_result() -> None:
    planner = cost.trials([FAST], cost.pace(0.25))
    outcomes = {window.id: measured(window) for window in windows_of(next(planner))}
    (own,) = windows_of(planner.send(outcomes))
    with pytest.raises(SystemExit, match="not measured"):
        planner.send({**outcomes, own.id: wire.WindowRefused(0, own.id, "refused", "no")})


def compared(wanted: list[cost.Settings]) -> list[cost.Settings]:
    """Return the settings that each was compared with."""
    planner = cost.trials(wanted, cost.pace(0.25))
    batch = windows_of(next(planner))
    outcomes: dict[str, Outcome] = {}
    reference, found = batch[-1], []
    for _settings in wanted:
        outcomes.update({window.id: measured(window) for window in batch})
        batch = windows_of(planner.send(outcomes))
        reference = batch[1] if len(batch) == 2 else reference
        found.append(reference.config)
    return found


def windows_of(pair: object) -> list[wire.Window]:
    assert isinstance(pair, list)
    return pair


def measured(window: wire.Window) -> Outcome:
    settings = f"{window.config.get('precision', 'fp32')} {window.config.get('num_workers', 0)}"
    return done(window.id, [UPDATE_S[settings]] * 5)
