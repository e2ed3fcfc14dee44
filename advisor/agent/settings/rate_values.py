"""Values of learning rates: numbers, lists of them, and tensors; read and written without waiting for a device."""

from __future__ import annotations

import math
from typing import Any, NamedTuple


class Slot(NamedTuple):
    """Place of a rate, with the script's value and ours."""

    holder: Any
    key: str
    own: Any
    ours: Any


def number(value: Any) -> float | None:
    """Return a rate as a number; None for what is none, and for a tensor on a device, which would be waited for."""
    if value is None or isinstance(value, (int, float)):
        return None if value is None else float(value)
    try:
        return float(value) if value.is_cpu else None
    except Exception:  # an object of the user's may do anything when it is asked
        return None


def times(value: Any, factor: float) -> Any:
    """Return a rate, or a list of rates, times the factor; None for anything else."""
    if isinstance(value, list):
        scaled = [times(item, factor) for item in value]
        return None if None in scaled else scaled
    found = None if isinstance(value, bool) else number(value)
    return None if found is None else found * factor


def copied(value: Any) -> Any:
    return list(value) if isinstance(value, list) else number(value)


def given_back(slot: Slot, now: Any, factor: float) -> Any:
    """Return the script's value: the one it had, or what its schedule has made of ours since."""
    if isinstance(now, list) and isinstance(slot.ours, list) and len(now) == len(slot.ours):
        pairs = zip(now, slot.own, slot.ours)
        return [own if number(item) == ours else _divided(item, factor) for item, own, ours in pairs]
    back = slot.own if number(now) == slot.ours else _divided(now, factor)
    if hasattr(now, "fill_"):
        now.fill_(back)
        return now
    return back


def _divided(value: Any, factor: float) -> Any:
    found = number(value)
    return value if found is None else found / factor


def put(group: dict[str, Any], rate: float, key: str = "lr") -> None:
    """Set the rate; a tensor stays the tensor that the step was compiled with."""
    if hasattr(group[key], "fill_"):
        group[key].fill_(rate)
    else:
        group[key] = rate


def distance(one: float, other: float) -> float:
    return abs(math.log(one / other)) if one > 0 and other > 0 else math.inf


def noted_loss(loss: Any) -> Any:
    """Return a loss on its way to the CPU, and the event after which it is there; None if it is no number."""
    if loss is None or isinstance(loss, float):
        return None if loss is None else (loss, None)
    if loss.numel() != 1 or not loss.is_cuda:
        return (loss, None) if loss.numel() == 1 and loss.is_cpu else None
    import torch

    copy = torch.empty(loss.shape, dtype=loss.dtype, pin_memory=True).copy_(loss, non_blocking=True)
    event: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record()
    return copy, event
