"""The common order of the batches that several processes share."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from advisor.agent.settings.shared_batches import SharedBatches


def digest(*indices: Any) -> int:
    loaders: Any = SimpleNamespace(current=lambda: (None, None), epoch_batches=lambda: None)
    batches = SharedBatches(loaders)
    for index in indices:
        batches.delivered(index)
    return batches.digest


@pytest.mark.parametrize(
    ("one", "other"),
    [([1, 2], [2, 1]), (["a", "b"], ["b", "a"]), ([2**70], [2**70 + 1]), (b"key", b"kez"), ("a", "b"), (3, 4)],
)
def test_the_digest_tells_orders_apart_whatever_a_sampler_gives(one: Any, other: Any) -> None:
    assert digest(one, other) == digest(one, other)
    assert digest(one, other) != digest(other, one)
    assert digest(one) != digest(other)


def test_an_index_that_can_be_read_once_is_left_to_the_dataset() -> None:
    index = iter([1, 2])
    digest(index)
    assert list(index) == [1, 2]
