"""Keeps dynamo out of our own functions: tracing a hook would bake its clock into compiled code."""

from __future__ import annotations

import os
import sys
from typing import Any, Callable

_FOLDERS = ("agent", "knobs", "whatif")
_put_aside: list[Any] = []
"""Callbacks that `left_out` has taken from this thread while it works."""


def left_out(work: Callable[[], Any]) -> Any:
    """Run our own work with dynamo looking away: inside a compiled step it would compile what we call, too."""
    frames: Any = sys.modules.get("torch._dynamo.eval_frame")
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
    """Whether the script's code around the present `left_out` is being compiled, as in a compiled training step."""
    return any(callback is not None for callback in _put_aside)


def hide(_module: Any = None) -> None:
    """Add our folders to those that dynamo skips; nothing where dynamo is not loaded."""
    rules: Any = sys.modules.get("torch._dynamo.trace_rules")
    if rules is None or not hasattr(rules, "SKIP_DIRS") or not hasattr(rules, "_recompile_re"):
        return
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    missing = [
        folder for folder in (os.path.join(root, name, "") for name in _FOLDERS) if folder not in rules.SKIP_DIRS
    ]
    if missing:
        rules.SKIP_DIRS.extend(missing)
        rules._recompile_re()
