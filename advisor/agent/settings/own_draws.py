"""Random numbers of a rank's own, between those that all ranks draw alike: for features of which each rank has others.

Both follow from the common state alone, so that a checkpoint of torch that runs a block again drops the same features.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ..base import slots
from ..base.pass_through import passes_on

APART = 2**32
"""Distance between the seeds of two ranks."""
MOST_SEED = 2**62


def drop_apart(module: Any, rank: int) -> None:
    """Let a module of torch's `Dropout` drop other features on each rank from now on."""

    @passes_on
    def run(module: Any, original: Any, args: Any, kwargs: Any) -> Any:
        if not module.training or not args or not hasattr(args[0], "device"):
            return original(*args, **kwargs)
        with drawing_apart(rank, args[0].device):
            return original(*args, **kwargs)

    slots.put(module, run)


@contextlib.contextmanager
def drawing_apart(rank: int, device: Any) -> Iterator[None]:
    """Draw this rank's numbers inside; the common ones are afterwards as if something else had been drawn."""
    import torch

    if device.type == "cuda":
        generator: Any = torch.cuda.default_generators[device.index or 0]
        seed, offset = generator.initial_seed(), generator.get_offset()
        generator.manual_seed((seed + (rank + 1) * APART) % MOST_SEED)
        generator.set_offset(offset)
        try:
            yield
        finally:
            after = generator.get_offset()
            generator.manual_seed(seed)
            generator.set_offset(after)
        return
    seed = int(torch.randint(MOST_SEED, ()).item())
    common = torch.get_rng_state()
    torch.default_generator.manual_seed((seed + rank + 1) % MOST_SEED)
    try:
        yield
    finally:
        torch.set_rng_state(common)
