"""Which backward is the last of its update: known from updates of one length, and from no others."""

from __future__ import annotations

from collections.abc import Iterable

from advisor.agent.settings.update_length import ALIKE, UpdateLength


def after(updates: Iterable[int], *, epoch: int = 0) -> UpdateLength:
    """The counter after updates of so many backwards each; every `epoch` backwards, an epoch ends."""
    found, number = UpdateLength(), 0
    for backwards in updates:
        for _ in range(backwards):
            number += 1
            found.backward(ends_epoch=bool(epoch) and number % epoch == 0)
        found.step()
    return found


def expected(found: UpdateLength, backwards: int) -> list[bool]:
    """For each of the next backwards, whether it may be the last of its update."""
    seen = []
    for _ in range(backwards):
        seen.append(found.may_be_last)
        found.backward(ends_epoch=False)
    return seen


def test_any_backward_may_be_the_last_until_some_updates_were_alike() -> None:
    assert expected(after([4] * (ALIKE - 1)), 4) == [True] * 4
    assert expected(after([4] * ALIKE), 6) == [False, False, False, True, True, True]


def test_one_backward_an_update_is_always_the_last() -> None:
    assert expected(after([1] * 9), 2) == [True, True]


def test_an_update_that_an_epoch_cuts_short_changes_nothing() -> None:
    assert expected(after([3, 3, 2, 3], epoch=8), 3) == [False, False, True]
    # the rest of an epoch is added to the first update of the next one
    assert expected(after([3, 3, 5, 3], epoch=8), 3) == [False, False, True]


def test_another_length_within_an_epoch_ends_all_expectations() -> None:
    found = after([4, 4, 4, 3, 4, 4, 4, 4])
    assert found.is_given_up
    assert expected(found, 4) == [True] * 4


def test_lengths_may_change_while_nothing_is_expected() -> None:
    assert expected(after([1, 2, 4, 4, 4]), 4) == [False, False, False, True]


def test_a_step_that_is_left_out_changes_nothing() -> None:
    assert expected(after([2, 2, 2, 4, 2]), 2) == [False, True]


def test_a_second_optimizer_that_steps_after_the_same_backwards_does_not_count() -> None:
    found = UpdateLength()
    for _ in range(ALIKE):
        found.backward(ends_epoch=False)
        found.backward(ends_epoch=False)
        found.step()
        found.step()
    assert expected(found, 2) == [False, True]
