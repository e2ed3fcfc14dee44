"""What samples are made of: equal or not, copied whole or not, and how large."""

from __future__ import annotations

import math
from collections import namedtuple
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, Subset

from advisor.agent.loader.replay import Cloner
from advisor.agent.loader.sample_parts import Stamp, bytes_of, copy_is_whole, equal, only_plain

Pair = namedtuple("Pair", ["image", "label"])


class Held:
    """As graphs and pictures of libraries are: an object with tensors in it."""

    def __init__(self, value: float) -> None:
        self.x = torch.full((2,), value)


class Opaque:
    __slots__ = ()


class Uncopyable:
    def __init__(self) -> None:
        self.x = 1

    def __deepcopy__(self, _memo: Any) -> Any:
        raise TypeError("not this one")


SAMPLES = [
    lambda value: torch.full((2, 2), value),
    lambda value: np.full((2, 2), value),
    np.float32,
    lambda value: (torch.zeros(2), value),
    lambda value: {"image": [torch.full((2,), value)], "label": 3},
    lambda value: Pair(torch.zeros(2), value),
    Held,
    lambda value: torch.eye(2).mul(value).to_sparse(),
    lambda value: f"text {value}",
]


@pytest.mark.parametrize("make", SAMPLES)
def test_the_same_contents_are_equal(make: Any) -> None:
    assert equal(make(1.5), make(1.5)) is None


@pytest.mark.parametrize("make", SAMPLES)
def test_other_contents_are_not(make: Any) -> None:
    assert equal(make(1.5), make(2.5)) is not None


@pytest.mark.parametrize("make", SAMPLES)
def test_what_is_no_number_is_equal_to_itself(make: Any) -> None:
    assert equal(make(math.nan), make(math.nan)) is None


def test_another_type_is_told() -> None:
    assert equal(1, 1.0) == "int first, float then"


def test_what_cannot_be_looked_into_is_not_called_equal() -> None:
    assert equal([Opaque()], [Opaque()]) == "a Opaque cannot be compared"


def test_other_names_are_other_contents() -> None:
    assert equal({"a": 1}, {"b": 1}) == "a dict has different elements"


@pytest.mark.parametrize("make", SAMPLES)
def test_copies_of_samples_share_nothing(make: Any) -> None:
    sample = make(1.5)
    assert copy_is_whole(Cloner().clone(sample), sample) is None


@pytest.mark.parametrize(
    ("sample", "why"),
    [
        ([Uncopyable()], "a Uncopyable cannot be copied"),
        ({"x": torch.ones(2, requires_grad=True)}, "a Tensor requires a gradient"),
        (torch.ones(2, device="meta"), "a Tensor is on meta"),
    ],
)
def test_what_cannot_be_kept_is_told(sample: Any, why: str) -> None:
    assert copy_is_whole(Cloner().clone(sample), sample) == why


def test_a_shared_tensor_is_no_whole_copy() -> None:
    shared = torch.zeros(2)
    assert copy_is_whole([shared], [shared]) == "a Tensor cannot be copied"


def test_sizes_are_those_of_the_numbers() -> None:
    sample = {"image": torch.zeros(1000), "mask": np.zeros(500, dtype=np.uint8), "pair": Held(0.0)}
    assert 4508 <= bytes_of(sample) < 6000


@pytest.mark.parametrize(
    ("sample", "plain"),
    [
        ((torch.zeros(2), 3), True),
        ({"image": np.zeros(2), "name": "a"}, True),
        (Held(0.0), False),
        ([Pair(torch.zeros(2), 1)], False),
    ],
)
def test_plain_is_what_torch_collates_by_copying(sample: Any, plain: bool) -> None:
    assert only_plain(sample) is plain


class Files(Dataset[Any]):
    def __init__(self) -> None:
        self.scale = 1.0
        self.files = ["a", "b"]


def test_an_attribute_that_is_set_anew_is_named() -> None:
    dataset = Files()
    stamp = Stamp(dataset)
    dataset.scale = 2.0
    assert stamp.changed() == "scale"


def test_an_equal_number_is_no_change() -> None:
    dataset = Files()
    stamp = Stamp(dataset)
    dataset.scale = float("1.0")
    assert stamp.changed() is None


def test_another_object_is_a_change_also_within_a_subset() -> None:
    dataset = Files()
    stamp = Stamp(Subset(dataset, [0]))
    dataset.files = ["a", "b"]
    assert stamp.changed() == "files"


def test_a_new_attribute_is_a_change() -> None:
    dataset = Files()
    stamp = Stamp(dataset)
    dataset.epoch = 1  # type: ignore[attr-defined]
    assert stamp.changed() == "epoch"
