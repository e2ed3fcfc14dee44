"""Data that is evaluated on again is told from what a model sees anew in each update."""

from __future__ import annotations

import gc

import pytest
import torch

from advisor.agent.loop.held_out import LEAST_UPDATES, MOST_TENSORS, HeldOut


def test_a_tensor_is_held_out_once_several_updates_have_evaluated_on_it() -> None:
    held_out, whole = HeldOut(), torch.ones(8, 2)
    said = [held_out.has((whole,), {}, update) for update in range(5)]
    assert said == [False, False, True, True, True]


def test_a_batch_by_name_is_known_as_well() -> None:
    held_out, batch = HeldOut(), {"input_ids": torch.ones(8, 2)}
    assert [held_out.has((), batch, update) for update in range(3)][-1]


def test_calls_of_one_update_count_once() -> None:
    held_out, observation = HeldOut(), torch.ones(1, 4)
    assert not any(held_out.has((observation,), {}, update) for update in (0, 0, 0, 1, 1))


def test_an_observation_that_is_written_again_is_another_one() -> None:
    held_out, buffer = HeldOut(), torch.zeros(4, 2)
    for update in range(3 * LEAST_UPDATES):
        buffer.add_(1.0)
        assert not held_out.has((buffer,), {}, update)


def test_memory_that_another_tensor_has_got_is_another_tensor() -> None:
    held_out = HeldOut()
    for update in range(3 * LEAST_UPDATES):
        assert not held_out.has((torch.zeros(4, 2),), {}, update)
        gc.collect()


def test_batches_without_end_are_not_followed() -> None:
    held_out = HeldOut()
    kept = [torch.zeros(1, 1) for _ in range(2 * MOST_TENSORS)]
    said = [held_out.has((one,), {}, update) for update in range(4) for one in kept]
    assert said[-1] is False
    assert len(held_out._seen) == MOST_TENSORS


def test_room_is_made_where_tensors_are_gone() -> None:
    held_out, whole = HeldOut(), torch.ones(8, 2)  # made first: it must not get the place of one that is gone
    for one in [torch.zeros(1, 1) for _ in range(2 * MOST_TENSORS)]:
        held_out.has((one,), {}, 0)
    del one
    assert [held_out.has((whole,), {}, update) for update in range(3)][-1]


@pytest.mark.parametrize("args", [(), (3,), ("text",)])
def test_calls_without_a_tensor_are_not_held_out(args: tuple[object, ...]) -> None:
    assert not any(HeldOut().has(args, {}, update) for update in range(5))
