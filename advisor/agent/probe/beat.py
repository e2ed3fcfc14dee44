"""Sign of life that the agent sends twice a second, with the place of a training that stands still."""

from __future__ import annotations

import os
import sys
import threading
import time
from types import FrameType
from typing import Any

from ... import wire
from ..loop.frames import Frames

EVERY_S = 0.5
WRAPPERS = ("wrapper", "inner", "_wrapped_call_impl", "decorate_context")
"""Functions of torch around others."""
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
    """Return the user's line at which a thread is, with the function of torch that it calls, if any."""
    frame = sys._current_frames().get(thread)
    if frame is None:
        return ""
    try:
        frames = Frames()
        file, line, _function = frames.line(frame)
        called = _torchs(frame)
    except Exception:  # a stack that changes while it is read
        return ""
    return f"{os.path.basename(file)}:{line}" + (f", in {called}" if called else "")


def _torchs(frame: FrameType) -> str:
    """Return the function of torch that the line called; of its wrappers the one they wrap."""
    called = ""
    inner: FrameType | None = frame
    while inner is not None:
        name = inner.f_code.co_name
        if str(inner.f_globals.get("__name__", "")).startswith("torch.") and name not in WRAPPERS:
            called = name
        inner = inner.f_back
    return called
