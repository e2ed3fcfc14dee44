"""Exclusion of our own functions from dynamo: tracing a hook would bake its clock into compiled code."""

from __future__ import annotations

import os
import sys
from typing import Callable

from .own_folder import PACKAGE

_FOLDERS = ("agent", "knobs", "whatif")
_put_aside: list[object] = []
"""Dynamo callbacks that `without_dynamo` removed from this thread while it works."""


def without_dynamo(work: Callable[[], object]) -> object:
    """Run our own work with dynamo disabled; inside a compiled step it would compile our calls, too."""
    frames: object = sys.modules.get("torch._dynamo.eval_frame")
    set_eval_frame = getattr(frames, "set_eval_frame", None)
    if set_eval_frame is None:
        return work()
    prior = set_eval_frame(None)
    _put_aside.append(prior)
    try:
        return work()
    finally:
        _put_aside.pop()
        set_eval_frame(prior)


def inside_compiled_call() -> bool:
    """Return whether the code around the current `without_dynamo` is being compiled, as in a compiled training step."""
    return any(callback is not None for callback in _put_aside)


def hide(_module: object = None) -> None:
    """Add our folders to those that dynamo skips; do nothing if dynamo is not loaded."""
    rules: object = sys.modules.get("torch._dynamo.trace_rules")
    if rules is None or not hasattr(rules, "SKIP_DIRS") or not hasattr(rules, "_recompile_re"):
        return
    missing = [
        folder for folder in (os.path.join(PACKAGE, name, "") for name in _FOLDERS) if folder not in rules.SKIP_DIRS
    ]
    if missing:
        rules.SKIP_DIRS.extend(missing)
        rules._recompile_re()
