"""Cuts of a chain of blocks into the stages of a pipeline."""

from __future__ import annotations

import itertools

from advisor.planning.cost import Chain, Link
from advisor.planning.stages import split_points


def chain(seconds: list[float], sizes: list[float] | None = None, head: tuple[float, float] = (0.0, 0.0)) -> Chain:
    sizes = sizes or [1.0] * len(seconds)
    links = tuple(
        Link(name=f"h.{number}", seconds=took, bytes=held)
        for number, (took, held) in enumerate(zip(seconds, sizes, strict=True))
    )
    return Chain(links=links, rest_seconds=head[0], rest_bytes=head[1], by="measured time and memory")


def test_equal_blocks_are_split_evenly() -> None:
    assert split_points(chain([1.0] * 12), 4) == ("h.3", "h.6", "h.9")
    # Ten blocks in four stages: two have three, and two have two.
    begins = [0, *(int(name[2:]) for name in split_points(chain([1.0] * 10), 4)), 10]
    assert sorted(end - begin for begin, end in itertools.pairwise(begins)) == [2, 2, 3, 3]


def test_the_head_counts_for_the_last_stage() -> None:
    assert split_points(chain([1.0] * 8, head=(2.0, 2.0)), 2) == ("h.5",)


def test_a_slow_block_has_a_stage_with_fewer_others() -> None:
    assert split_points(chain([1.0, 1.0, 4.0, 1.0, 1.0]), 3) == ("h.2", "h.3")


def test_memory_moves_a_cut_that_time_alone_would_make() -> None:
    even = [1.0] * 6
    assert split_points(chain(even), 2) == ("h.3",)
    assert split_points(chain(even, [6.0, 6.0, 1.0, 1.0, 1.0, 1.0]), 2) == ("h.2",)


def test_there_are_no_more_stages_than_blocks() -> None:
    assert split_points(chain([1.0] * 3), 4) == ()
    assert split_points(chain([1.0] * 3), 1) == ()
    assert split_points(chain([1.0] * 3), 3) == ("h.1", "h.2")
