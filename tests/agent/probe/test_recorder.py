"""From updates to the columns of a window."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from advisor.agent.loop.clock import PHASE_NAMES, Update
from advisor.agent.probe.recorder import Recorder


def _update(phases_s: float = 0.01, *, loss: float | None = None) -> Update:
    update = Update(0)
    update.phases_ns = [int(phases_s * 1e9)] * len(PHASE_NAMES)
    update.end_ns = sum(update.phases_ns)
    update.loss = None if loss is None else torch.tensor(loss)
    return update


def _recorded(*updates: Update) -> tuple[dict[str, list[float]], dict[str, int]]:
    recorder = Recorder(lambda: 1, None)
    for update in updates:
        recorder.add(update)
    return recorder.columns()


def test_phases_and_what_stands_beside_add_up_to_the_wall_time() -> None:
    update = _update()
    update.evaluation_ns = [4_000_000] * len(PHASE_NAMES)
    columns, _ = _recorded(update)
    inside = sum(values[0] for values in columns["phases_s"].values())
    beside = sum(values[0] for values in columns["off_step_s"].values())
    assert math.isclose(inside + beside, columns["wall_s"][0])


def test_a_model_evaluated_in_every_update_is_part_of_it() -> None:
    updates = [_update() for _ in range(4)]
    for update in updates:
        update.weak_evaluation_ns = [1_000_000] * len(PHASE_NAMES)
    assert sum(_recorded(*updates)[0]["off_step_s"]["evaluation"]) == 0


def test_a_model_evaluated_now_and_then_is_evaluation() -> None:
    updates = [_update() for _ in range(4)]
    updates[2].weak_evaluation_ns = [1_000_000] * len(PHASE_NAMES)
    evaluation = _recorded(*updates)[0]["off_step_s"]["evaluation"]
    assert [seconds > 0 for seconds in evaluation] == [False, False, True, False]


def test_rollouts_of_the_own_model_in_every_update_are_part_of_it() -> None:
    updates = [_update() for _ in range(6)]
    for update in updates:
        update.evaluation_ns = [1_000_000] * len(PHASE_NAMES)
    assert sum(_recorded(*updates)[0]["off_step_s"]["evaluation"]) == 0
    updates[0].evaluation_batches = 2
    assert all(seconds > 0 for seconds in _recorded(*updates)[0]["off_step_s"]["evaluation"])


def test_an_evaluation_is_split_into_its_phases() -> None:
    updates = [_update() for _ in range(6)]
    updates[1].evaluation_ns = [1_000_000 * place for place in range(len(PHASE_NAMES))]
    split = _recorded(*updates)[1]["evaluation_phases_s"]
    assert isinstance(split, dict)
    assert (split["forward"], split["data_wait"]) == (0.002, 0.0)


def test_batches_of_one_size_are_told_once_and_others_each() -> None:
    updates = [_update() for _ in range(3)]
    for update, size in zip(updates, (7, 7, 7), strict=True):
        update.elements = size
    assert _recorded(*updates)[0]["elements"] == [7]
    updates[2].elements = 9
    assert _recorded(*updates)[0]["elements"] == [7, 7, 9]


def test_losses_that_are_no_numbers_are_counted_apart_from_unknown_ones() -> None:
    losses = [1.0, math.nan, 2.0, None, math.inf, math.nan]
    assert _recorded(*[_update(loss=loss) for loss in losses])[1] == {"nan_losses": 3, "nan_losses_at_end": 2}


def test_nothing_is_said_of_losses_that_are_all_numbers() -> None:
    assert _recorded(_update(loss=1.0), _update())[1] == {}


def test_a_loss_of_many_elements_is_not_known() -> None:
    update = _update()
    update.loss = torch.ones(3)
    assert _recorded(update)[0]["losses"] == [None]


def test_the_beginning_of_a_loader_that_turns_out_to_evaluate_is_no_restart() -> None:
    """Its role is known only after its first batches have gone through the model."""
    updates = [_update() for _ in range(4)]
    evaluates, trains = SimpleNamespace(role="unused"), SimpleNamespace(role="unused")
    updates[1].beginnings = ((trains, 3_000_000),)
    updates[2].beginnings = ((evaluates, 4_000_000), (evaluates, 2_000_000))
    evaluates.role, trains.role = "evaluation", "train"
    columns, _ = _recorded(*updates)
    restart, evaluation = columns["off_step_s"]["loader_restart"], columns["off_step_s"]["evaluation"]
    assert restart == [0.01, 0.01, pytest.approx(0.004), 0.01]
    assert evaluation == [0.0, 0.0, pytest.approx(0.006), 0.0]
    wall_s = [sum(values[2] for part in ("phases_s", "off_step_s") for values in columns[part].values())]
    assert math.isclose(wall_s[0], columns["wall_s"][2])


def test_updates_are_reported_as_far_as_they_are_known() -> None:
    updates = [_update(loss=1.0), _update(loss=math.nan), _update(loss=3.0)]
    recorder = Recorder(lambda: 1, None)
    for update in updates:
        recorder.add(update)
    assert recorder.columns_so_far()["losses"][::2] == [1.0, 3.0]  # type: ignore[index]  # a dict of several types
    assert recorder.columns_so_far()["extra"] == {"nan_losses": 1, "nan_losses_at_end": 0}
    updates[1].marks = [("an event that has not passed", None)]
    assert recorder.columns_so_far()["losses"] == [1.0]
