"""What torch has compiled in this process, whoever asked for it: read in dynamo's own books, which are not imported."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

LONGEST_REASON = 160


class Compiled(NamedTuple):
    frames: int
    """A function is compiled anew for every shape that it has no code for."""
    seconds: float


def so_far() -> Compiled:
    """Nothing where dynamo was never loaded, or keeps other books."""
    utils: Any = sys.modules.get("torch._dynamo.utils")
    frames = getattr(utils, "counters", {}).get("frames") or {}
    spent: dict[str, float] = getattr(utils, "calculate_time_spent", dict)()
    return Compiled(int(frames.get("total", 0)), float(spent.get("total_wall_time", 0.0)))


def within(before: Compiled) -> dict[str, Any]:
    """What was compiled since then, as a window reports it; empty where nothing was."""
    now = so_far()
    if now.frames == before.frames:
        return {}
    return {
        "compiles": now.frames - before.frames,
        "compile_s": now.seconds - before.seconds,
        "compile_reason": _latest_reason(),
    }


def _latest_reason() -> str:
    """Why the code that was there did not serve, in torch's words; "" where it has kept none."""
    utils: Any = sys.modules.get("torch._dynamo.utils")
    failures = [reasons[-1] for reasons in getattr(utils, "guard_failures", {}).values() if reasons]
    return str(failures[-1]).partition(": ")[2][:LONGEST_REASON] if failures else ""
