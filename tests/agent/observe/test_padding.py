"""Padding in the model's arguments: shown by masks, or by a token at the ends of rows; never by anything alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from advisor.agent.observe.padding import MOST_INSPECTED, PaddingWatch

Call = Callable[[], tuple[tuple[Any, ...], dict[str, Any]]]


def rows(width: int = 64, left: bool = False, pad: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Eight sequences of 4 to 31 tokens, the first one the longest; and a mask of their tokens."""
    lengths = torch.randint(4, 32, (8,))
    lengths[0] = lengths.max()
    width = width or int(lengths.max())
    ids, mask = torch.full((8, width), pad), torch.zeros(8, width, dtype=torch.long)
    for row, length in enumerate(lengths.tolist()):
        place = slice(width - length, width) if left else slice(0, length)
        ids[row, place], mask[row, place] = torch.randint(1, 500, (length,)), 1
    return ids, mask


def report(call: Call, forwards: int = 40) -> dict[str, Any] | None:
    torch.manual_seed(0)
    watch = PaddingWatch()
    for forward in range(1, forwards + 1):
        if forward >= watch.next:
            watch.inspect(forward, *call())
    return watch.report()


def masked(**changes: Any) -> Call:
    return lambda: ((), dict(zip(("input_ids", "attention_mask"), rows(**changes), strict=True)))


def inverted() -> tuple[tuple[Any, ...], dict[str, Any]]:
    ids, mask = rows()
    return (ids,), {"src_key_padding_mask": mask == 0}


FIXED: dict[str, Call] = {
    "mask": masked(),
    "left": masked(left=True),
    "inverted mask": inverted,
    "floats": lambda: ((torch.rand(8, 64, 5),), {"padding_mask": rows()[1] == 0}),
    "dictionary": lambda: ((masked()()[1],), {}),
    "tokens": lambda: ((rows()[0],), {}),
    "tokens from the left": lambda: ((rows(left=True)[0],), {}),
    "another token": lambda: ((rows(pad=777)[0],), {}),
}


@pytest.mark.parametrize("name", FIXED)
def test_batches_of_a_fixed_length_are_mostly_padding(name: str) -> None:
    found = report(FIXED[name])
    assert found is not None
    assert found["fraction"] == pytest.approx(1 - 18 / 64, abs=0.08)
    assert found["beyond_longest"] == pytest.approx(1 - 29 / 64, abs=0.08)
    assert found["length"] == 64
    assert found["source"] == ("tokens" if "token" in name else "mask")


@pytest.mark.parametrize("call", [masked(width=0), lambda: ((rows(width=0)[0],), {})], ids=["mask", "tokens"])
def test_batches_as_long_as_their_longest_have_nothing_beyond(call: Call) -> None:
    found = report(call)
    assert found is not None
    assert found["beyond_longest"] == 0
    assert 0.2 < found["fraction"] < 0.5


def test_a_mask_without_padding_shows_that_there_is_none() -> None:
    found = report(lambda: ((torch.randint(0, 9, (8, 64)),), {"attention_mask": torch.ones(8, 64)}))
    assert found is not None
    assert (found["fraction"], found["beyond_longest"]) == (0, 0)


SILENT: dict[str, Call] = {
    "text": lambda: ((torch.randint(0, 60, (16, 64)),), {}),
    "causal mask": lambda: ((torch.randint(0, 60, (64, 64)), torch.ones(64, 64, dtype=torch.bool).tril()), {}),
    "causal attention mask": lambda: ((torch.rand(64, 64, 3),), {"attention_mask": torch.ones(64, 64).tril()}),
    "pixels": lambda: (((torch.rand(32, 784) * (torch.rand(32, 784) > 0.8) * 255).long(),), {}),
    "segments": lambda: ((torch.arange(40).ge(20).long().repeat(8, 1),), {}),
    "categories": lambda: ((torch.randint(0, 30, (64, 10)),), {}),
    "floats": lambda: ((torch.rand(8, 64),), {}),
    "scattered mask": lambda: ((torch.rand(8, 64, 3),), {"attention_mask": torch.rand(8, 64) > 0.5}),
    "mask of unknown sense": lambda: ((torch.rand(8, 64, 3), rows()[1].bool()), {}),
    "one row": lambda: ((rows()[0][:1],), {}),
}


@pytest.mark.parametrize("name", SILENT)
def test_what_only_looks_alike_is_not_padding(name: str) -> None:
    found = report(SILENT[name])
    assert found is None or found["fraction"] < 0.05, found


def test_two_batches_show_nothing() -> None:
    assert report(masked(), forwards=2) is None


def test_only_a_few_forwards_are_inspected() -> None:
    calls = []
    report(lambda: calls.append(1) or masked()(), forwards=20_000)  # type: ignore[func-returns-value]  # counts
    assert len(calls) == MOST_INSPECTED


def test_nothing_is_done_under_a_mode_of_the_scripts() -> None:
    class Mode(TorchDispatchMode):
        seen = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.seen += 1
            return func(*args, **(kwargs or {}))

    call = masked()()
    watch = PaddingWatch()
    with Mode() as mode:
        watch.inspect(1, *call)
    assert mode.seen == 0


def test_tensors_of_a_transformation_or_without_values_harm_nothing() -> None:
    watch = PaddingWatch()

    def call(ids: torch.Tensor) -> torch.Tensor:
        for forward in range(1, 6):
            watch.inspect(forward, (ids,), {})
        return ids

    torch.vmap(call)(torch.stack([rows()[0], rows()[0]]))
    for forward in range(1, 6):
        watch.inspect(forward, (rows()[0].to("meta"),), {})
    watch.report()
    assert watch.report() is None


def test_a_tensor_that_refuses_harms_nothing() -> None:
    class Odd(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError("not now")

    watch = PaddingWatch()
    watch.inspect(1, (Odd(),), {})
    assert watch.report() is None
