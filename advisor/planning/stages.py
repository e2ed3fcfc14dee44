"""Stages of a pipeline: where a chain of blocks is cut so that the fullest stage has least time and memory."""

from __future__ import annotations

import functools
from itertools import accumulate

from .cost import Chain

MOST_LINKS = 256
"""Blocks up to which all cuts are compared, which takes a time that grows with their square."""


def split_points(chain: Chain, stages: int) -> tuple[str, ...]:
    """Return the names of the blocks at which all stages but the first begin; () if there are too few blocks.

    A stage weighs its share in the model's time or in its memory, whichever is larger. The heaviest stage is as light
    as it can be; among such cuts, stages are as even as they can be.
    """
    links = chain.links
    if not 1 < stages <= len(links) <= MOST_LINKS:
        return ()
    seconds = [0.0, *accumulate(link.seconds for link in links)]
    sizes = [0.0, *accumulate(link.bytes for link in links)]
    all_seconds = seconds[-1] + chain.rest_seconds or 1.0
    all_bytes = sizes[-1] + chain.rest_bytes or 1.0

    @functools.cache
    def weight(begin: int, end: int) -> float:
        last = end == len(links)
        took = seconds[end] - seconds[begin] + (chain.rest_seconds if last else 0.0)
        held = sizes[end] - sizes[begin] + (chain.rest_bytes if last else 0.0)
        return round(max(took / all_seconds, held / all_bytes), 9)  # equal blocks weigh the same

    # Best cut of the first `end` blocks into so many stages: heaviest stage, sum of squares, begins of the stages.
    best: dict[int, tuple[float, float, tuple[int, ...]]] = {
        end: (weight(0, end), weight(0, end) ** 2, (0,)) for end in range(1, len(links) + 1)
    }
    for stage in range(2, stages + 1):
        best = {
            end: min(
                (max(heaviest, weight(begin, end)), round(squares + weight(begin, end) ** 2, 12), (*begins, begin))
                for begin in range(stage - 1, end)
                for heaviest, squares, begins in (best[begin],)
            )
            for end in range(stage, len(links) + 1)
        }
    return tuple(links[begin].name for begin in best[len(links)][2][1:])
