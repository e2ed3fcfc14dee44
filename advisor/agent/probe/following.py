"""Conductor of the other ranks, which do at the end of an update what rank 0 does there."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from ... import wire
from ...refused import Refused
from ..loop.clock import Update
from .conductor import Conductor

PATIENCE_S = 60.0
"""Seconds to wait for rank 0's word at the end of an update. It is at the end of the same one, unless it makes fewer
updates than this rank: then it waits in a collective for this one."""
LONGEST_WAIT_S = 86_400.0
"""Seconds to wait where rank 0 has said to: it waits for the controller, whose end closes the channel."""


class FollowingConductor(Conductor):
    """Conductor that changes only what it is told to."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._orders: deque[wire.RankOrder] = deque()
        self._until = 0
        """Update at whose end the next order is due."""
        self._patience_s = PATIENCE_S
        self._told_broken = False
        self._waited_s = 0.0
        """Seconds in which this rank has waited for rank 0's word since the window began to count."""

    def _advance(self, update: Update) -> None:
        now = self._controls.clock.updates
        if self._recorder is not None:
            self._recorder.add(update)
        else:
            self._dropped += 1
        if self._controls.broken and not self._told_broken:
            self._told_broken = True
            why = "; ".join(f"{name}: {reason}" for name, reason in self._controls.broken.items())
            self._channel.send(wire.RankAnswer(self._rank, why, entering=False))
        while now >= self._until:
            order = self._next_order()
            if order is None:
                self._out_of_step()
                return
            self._obey(order)

    def _next_order(self) -> wire.RankOrder | None:
        if not self._orders:
            begin_s = time.perf_counter()
            self._orders.extend(m for m in self._channel.wait(self._patience_s) if isinstance(m, wire.RankOrder))
            self._waited_s += time.perf_counter() - begin_s
        return self._orders.popleft() if self._orders else None

    def _obey(self, order: wire.RankOrder) -> None:
        window = self._window
        self._patience_s = PATIENCE_S if order.what == "go" else LONGEST_WAIT_S
        if order.what == "go":
            self._until = order.until
        elif order.what == "enter" and order.window is not None:
            self._follow_into(order.window)
        elif order.what == "count" and window is not None:
            if self._recorder is not None:
                self._begin_anew(window)
            super()._begin_counting(window)
            self._waited_s = 0.0
        elif order.what == "finish" and window is not None:
            self._instruments.stint_wait_s = self._waited_s
            self._finish(window, order.text or None)
        elif order.what in ("drop", "undo"):
            self._take_back()
        elif order.what == "leave":
            self._leave(order.text)

    def _follow_into(self, window: wire.Window) -> None:
        self._told_broken = False
        refusal: str | None = None
        try:
            self._enter(window)
        except Refused as error:
            refusal = str(error)
            self._window = self._test = None
        self._channel.send(wire.RankAnswer(self._rank, refusal))

    def _begin_counting(self, window: wire.Window) -> None:
        """Wait for rank 0 to begin, even where a window has no warm-up."""

    def script_ends(self, why: str) -> None:
        self._controls.communication.is_ending = True
        super().script_ends(why)

    def _take_back(self) -> None:
        """Leave a window without a report, and return to the baseline."""
        window = self._window
        if window is not None:
            if self._recorder is not None:
                self._instruments.finish(window)
            self._recorder = self._window = self._test = None
            self._leave_window(window)
        self._controls.broken.clear()
        self._controls.set_config({})

    def _out_of_step(self) -> None:
        """End the probe where rank 0 does not come: the ranks could not be switched together."""
        if not self._channel.closed:
            self._leave("out of step")
