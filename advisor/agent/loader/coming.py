"""Indices of the samples that an epoch is about to read, for work that looks ahead of the loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def coming(loader: Any, stream: Any, least: int = 0) -> Iterator[Any]:
    """Yield indices of the epoch's coming samples, then of all others if the sampler takes each once.

    Only torch's own samplers are drawn from ahead of time: another may choose by the training's progress. `least`
    elements are drawn from any sampler.
    """
    own = _is_torchs(loader)
    place = 0
    while own or place < max(least, stream.known_ahead):
        element = stream.ahead(place)
        if element is None:
            break
        yield from element if loader._auto_collation and isinstance(element, list) else [element]
        place += 1
    if own and _takes_all(loader):
        yield from range(len(loader.dataset))


def _samplers(loader: Any) -> list[Any]:
    outer = loader.batch_sampler if loader._auto_collation else loader.sampler
    inner = [getattr(outer, name, None) for name in ("batch_sampler", "sampler")]
    return [sampler for sampler in (outer, *inner, getattr(inner[0], "sampler", None)) if sampler is not None]


def _is_torchs(loader: object) -> bool:
    return all(
        isinstance(sampler, range) or type(sampler).__module__.startswith(("torch.utils.data.", "accelerate."))
        for sampler in _samplers(loader)
    )


def _takes_all(loader: Any) -> bool:
    from torch.utils.data import RandomSampler, SequentialSampler

    innermost = _samplers(loader)[-1]
    if isinstance(innermost, RandomSampler):
        return not innermost.replacement and len(innermost) == len(loader.dataset)
    return isinstance(innermost, SequentialSampler)
