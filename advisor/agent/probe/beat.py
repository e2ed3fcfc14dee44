"""Sign of life that the agent sends twice a second, with the place of a training that stands still."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

from ... import wire
from ..loop.frames import Frames

EVERY_S = 0.5
STILL_BEATS = 10
"""Beats without an event after which the training stands still; many updates take a second or two."""


def start(agent: Any) -> None:
    """Beat in a thread of its own until the agent has ended; `agent` is a `ScriptAgent`."""
    threading.Thread(target=_beat, args=(agent,), name="advisor-beat", daemon=True).start()


def _beat(agent: Any) -> None:
    events, still = -1, 0
    while not agent.ended:
        agent.before_beat()
        clock = agent.clock
        still = still + 1 if clock.events == events else 0
        events = clock.events
        at = place(clock.owner) if still >= STILL_BEATS else ""
        agent.channel.send(wire.Beat(agent.rank, clock.updates, events, at))
        agent.look_so_far()
        time.sleep(EVERY_S)


def place(thread: int) -> str:
    """Return the user's line at which a thread is, with the function of torch.distributed that it calls, if any."""
    frame = sys._current_frames().get(thread)
    if frame is None:
        return ""
    called, inner = "", frame
    while inner is not None:
        module = str(inner.f_globals.get("__name__", ""))
        if module.startswith("torch.distributed"):
            called = f", in {inner.f_code.co_name}"
        inner = inner.f_back  # type: ignore[assignment]
    try:
        file, line, _function = Frames().line(frame)
    except Exception:  # a stack that changes while it is read
        return ""
    return f"{os.path.basename(file)}:{line}{called}"
