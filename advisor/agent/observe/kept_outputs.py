"""Outputs of evaluating calls that the script keeps: whole logits where their argmax would do."""

from __future__ import annotations

import gc
import sys
from collections import deque
from collections.abc import Mapping
from typing import Any

LATER_CALLS = 8
"""Calls after which an output that is still alive counts as kept: a script holds one or two by its variables."""
LEAST_BYTES = 2**16
"""Size of an output below which it costs nothing to keep."""
LEAST_CHECKED = 4
KEPT_FRACTION = 0.8
MOST_ITEMS = 8


class KeptOutputs:
    """Watch on the storages of the outputs of evaluating calls; it holds weak references only."""

    def __init__(self) -> None:
        self._recent: deque[Any] = deque(maxlen=LATER_CALLS + 1)
        self._updates = 0
        self._checked = 0
        self._kept = 0

    def saw(self, output: object, updates: int) -> None:
        """Note the output of an evaluating call, and check an earlier one; never raise.

        `updates` is the number of updates so far: outputs of an earlier evaluation may be gone, and are not checked.
        """
        if updates != self._updates:
            self._updates = updates
            self._recent.clear()
        try:
            self._saw(output)
        except Exception:  # a user's own output class may do anything when it is looked at
            self._recent.clear()

    def _saw(self, output: object) -> None:
        tensor = _largest(output)
        if tensor is None or tensor.numel() * tensor.element_size() < LEAST_BYTES:
            return
        from torch.multiprocessing import reductions

        weak_reference: Any = reductions.StorageWeakRef
        self._recent.append(weak_reference(tensor.untyped_storage()))
        if len(self._recent) > LATER_CALLS:
            self._checked += 1
            self._kept += not self._recent[0].expired()

    @property
    def keeps(self) -> bool:
        return self._checked >= LEAST_CHECKED and self._kept >= KEPT_FRACTION * self._checked


def trainer_metrics() -> tuple[str, int, str] | None:
    """Return file, line and name of the metrics function for which a transformers Trainer gathers whole logits; None
    if no Trainer does."""
    trainer_class = getattr(sys.modules.get("transformers.trainer"), "Trainer", None)
    if trainer_class is None:
        return None
    for found in gc.get_objects():
        if not issubclass(type(found), trainer_class):
            continue
        metrics = found.__dict__.get("compute_metrics")
        arguments = found.__dict__.get("args")
        generates = getattr(arguments, "predict_with_generate", False)
        if metrics is None or generates or found.__dict__.get("preprocess_logits_for_metrics") is not None:
            continue
        code = getattr(metrics, "__code__", None)
        return (code.co_filename, code.co_firstlineno, code.co_name) if code is not None else ("", 0, "")
    return None


def _largest(output: object) -> Any:
    """Return the tensor of most elements among an output and its items; None if there is none."""
    if hasattr(output, "untyped_storage"):
        return output
    items = list(output.values()) if isinstance(output, Mapping) else output
    if not isinstance(items, (list, tuple)):
        return None
    tensors = [item for item in items[:MOST_ITEMS] if hasattr(item, "untyped_storage")]
    return max(tensors, key=lambda tensor: int(tensor.numel()), default=None)
