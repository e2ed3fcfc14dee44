"""Places where torch.compile had to leave the script's code to Python; read from dynamo's lists without an import."""

from __future__ import annotations

import sys
from typing import Any

from ..base import modes
from ..loop.frames import USER, Frames

MOST_PLACES = 8
LONGEST_REASON = 120


def breaks_seen() -> list[dict[str, object]]:
    """Return the places, each once, as the fields of `types.GraphBreak`; empty while we compile ourselves.

    The place is the innermost line of the user's: the reason may lie in a library that it calls.
    """
    reasons: list[Any] = getattr(sys.modules.get("torch._dynamo.utils"), "graph_break_reasons", [])
    if not reasons or modes.compiling_by_us():
        return []
    frames = Frames()
    found: dict[tuple[str, int], dict[str, object]] = {}
    for each in reasons:
        own = [frame for frame in each.user_stack if frames.owner(frame.filename) == USER]
        if not own:
            continue
        place = own[-1]
        first_line = str(each.reason).strip().partition("\n")[0]
        found.setdefault(
            (place.filename, place.lineno or 0),
            {
                "reason": first_line[:LONGEST_REASON],
                "file": place.filename,
                "line": place.lineno or 0,
                "function": place.name,
            },
        )
    return list(found.values())[:MOST_PLACES]
