"""Reasons why a script cannot be trained by several processes without an edit."""

from __future__ import annotations

from typing import Any

from ...refused import Refused
from ..loader.hooks import LoaderHooks
from ..loader.limits import refuse_foreign
from ..loader.record import batch_size_of, is_iterable
from ..loop.steps import Steps

CLOSURES = ("LBFGS",)
"""Optimizers that evaluate their closure several times, and decide by its value how often."""


def why_not(optimizers: list[Any], modules: list[Any], steps: Steps) -> str | None:
    """Return why gradients cannot be averaged; None if they can."""
    if not optimizers:
        return "no optimizer was made before the first forward"
    for one in optimizers:
        if type(one).__name__ in CLOSURES:
            return f"{type(one).__name__} evaluates the loss several times in a step, as often as its value asks for"
    if steps.closures_seen:
        return "the optimizer is stepped with a closure"
    for module in modules:
        for inner in module.modules():
            if getattr(inner, "sparse", False) is True and type(inner).__name__.startswith("Embedding"):
                return f"{type(inner).__name__} has sparse gradients, which are not averaged"
    return None


def why_no_shares(loaders: LoaderHooks, ranks: int, thread: int) -> str | None:
    """Return why the batches that `thread` trains on cannot be shared out; None if they can."""
    record = loaders.train
    if record is None:
        return "no DataLoader feeds the training: a batch that the script makes itself cannot be shared out"
    feed, _iterator = loaders.current()
    loader: Any = feed.loader if feed is not None else record.loader()
    if loader is None or (feed is not None and feed.foreign):
        return "the training reads batches that were fetched before, or by an iterator that is not of torch"
    if record.reader != thread:
        return "another thread reads the loader: it is unknown which batch is trained on"
    return _why_no_share_of(loader, ranks)


def _why_no_share_of(loader: Any, ranks: int) -> str | None:
    if is_iterable(loader):
        return "the training's dataset is iterable: its samples cannot be shared out"
    try:
        refuse_foreign(loader)
    except Refused as refusal:
        return str(refusal)
    if not loader._auto_collation:
        return "the dataset makes its own batches, which cannot be shared out"
    size = batch_size_of(loader)
    if size is not None and size < ranks:
        return f"a batch of {size} cannot be shared out among {ranks} processes"
    return None
