"""Keeps dynamo out of our own functions: tracing a hook would bake its clock into compiled code."""

from __future__ import annotations

import os
import sys
from typing import Any

_FOLDERS = ("agent", "knobs", "whatif")


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
