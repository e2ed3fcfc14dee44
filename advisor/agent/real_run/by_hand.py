"""Settings applied by plain torch to objects that the caller passes: no hooks, and nothing of ours stays in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ... import knobs


def apply(settings: Mapping[str, Any], model: Any, optimizer: Any) -> tuple[Any, dict[str, str]]:
    """Apply settings except the loader's and autocast; return the model to use, and name → reason for those left.

    The caller gives the loader's settings to its `DataLoader`, and makes several backwards of a batch in parts.
    """
    objects, left = knobs.PlainObjects(model, optimizer), {}
    for knob in sorted(map(knobs.get, settings), key=lambda knob: knob.after_others):
        value = settings[knob.id]
        if knob.plain is not None:
            why = knob.plain(objects, value)
        elif value and not knob.loader_keyword and not knob.samples_per:
            why = f"{knob.described_by_hand(value)}, or use advisor.apply()"
        else:
            why = None
        if why is not None:
            left[knob.id] = why
    return objects.model, left


def autocast(settings: Mapping[str, Any], device: Any) -> Any:
    """Return the autocast that a user would write for these settings; a disabled one if they need none.

    fp16 also needs its loss scaled: `torch.amp.GradScaler` is up to the user.
    """
    import torch

    kind = getattr(device, "type", None) or str(device).partition(":")[0]
    dtypes = [knobs.get(name).autocast.get(value) for name, value in settings.items()]
    dtype = next(filter(None, dtypes), None)
    return torch.autocast(kind, enabled=False) if dtype is None else torch.autocast(kind, dtype=getattr(torch, dtype))
