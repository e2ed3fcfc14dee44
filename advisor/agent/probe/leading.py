"""Conductor of rank 0, which decides for all ranks what they do at the end of an update."""

from __future__ import annotations

from typing import Any, Callable

from ... import wire
from ...refused import Refused
from ..loop.clock import Update
from ..settings.controls import Controls
from .conductor import Conductor
from .ranks import MOST_UPDATES, STINT_NS, UNTIL_THE_END, LeadersChannel


class LeadingConductor(Conductor):
    """Conductor that changes anything only at the end of a stint, and tells the other ranks what it does there."""

    def __init__(
        self,
        controls: Controls,
        channel: Any,
        instruments: Any,
        rank: int,
        leave: Callable[[str], None],
        origin_s: float,
        *,
        ranks: int,
    ) -> None:
        self._ranks = LeadersChannel(channel, ranks)
        self._leave_alone = leave
        self._until = 0
        """Update at whose end the stint of all ranks ends."""
        self._length_of_stint = 1
        super().__init__(controls, self._ranks, instruments, rank, self._leave_together, origin_s)

    def _advance(self, update: Update) -> None:
        if self._controls.clock.updates < self._until:
            self._pass(update)
            self._extend(update)
            return
        super()._advance(update)
        self._stint(update)

    def _stint(self, update: Update) -> None:
        """Let all ranks go on: for a while, but not past what the window waits for."""
        now, most = self._controls.clock.updates, self._most_updates(update)
        window, recorder = self._window, self._recorder
        if window is None or self._test is not None:
            due = 1
        elif recorder is None:
            due = max(1, self._settling)
        else:
            counted = len(recorder.updates)
            ends = (window.least_updates, window.min_updates, window.max_updates)
            due = min((end - counted for end in ends if end > counted), default=1)
        self._grant(min(most, due), now)
        self._extend(update)

    def _grant(self, updates: int, begin: int) -> None:
        self._length_of_stint, self._until = updates, begin + updates
        self._ranks.order("go", until=self._until)

    def _most_updates(self, update: Update) -> int:
        """Return the updates of the longest stint; of a single one where each may end the window."""
        if self._controls.loaders.is_caching:
            return 1
        return max(1, min(MOST_UPDATES, STINT_NS // max(1, update.end_ns - update.begin_ns)))

    def _extend(self, update: Update) -> None:
        """Grant the next stint early if nothing can be due at this one's end: then nobody waits there."""
        window, recorder = self._window, self._recorder
        left = self._until - self._controls.clock.updates
        if window is None or recorder is None or left > max(1, self._length_of_stint // 2):
            return
        if self._test is not None or self._controls.broken or self._controls.loaders.is_caching:
            return
        if update.end_ns - update.begin_ns > STINT_NS or self._ranks.has_orders():
            return  # a message costs a long update nothing, and an order is due at its end
        count, spent_s = len(recorder.updates) + left, 2 * left * (update.end_ns - update.begin_ns) / 1e9
        short = count < window.min_updates or recorder.counted_ns / 1e9 + spent_s < window.min_s
        if short and self._spent_s() + spent_s < window.max_s:
            ends = (window.least_updates, window.min_updates, window.max_updates)
            due = min((end - count for end in ends if end > count), default=1)
            self._grant(min(self._most_updates(update), due), self._until)

    def _pass(self, update: Update) -> None:
        """Take in an update within the stint."""
        self._window_begin_s += update.beside_ns / 1e9
        if self._recorder is not None:
            self._recorder.add(update)
        else:
            self._dropped += 1
            self._settling -= 1

    def _rest(self, window: wire.Window, _now_ns: int) -> None:
        """Look at every update: what is due comes with the end of a stint."""
        notice = self._ranks.notice()
        if notice is not None:
            self._controls.broke(next(iter(window.config), "a setting"), notice)

    # --- what the others do as well -----------------------------------------------------------------------------------

    def _enter(self, window: wire.Window) -> bool:
        self._ranks.order("enter", window=window)
        try:
            running = super()._enter(window)
        except Refused:
            self._ranks.gather()
            self._undo()
            raise
        refusal = self._ranks.gather()
        if refusal is not None:
            self._undo()
            raise Refused(refusal)
        return running

    def _undo(self) -> None:
        """Take a window back on all ranks that one of them could not enter."""
        self._ranks.order("undo")
        if self._recorder is not None and self._window is not None:
            self._instruments.finish(self._window)
        self._recorder = self._window = self._test = None
        self._controls.set_config({})

    def _begin_counting(self, window: wire.Window) -> None:
        self._ranks.order("count")
        super()._begin_counting(window)

    def _finish(self, window: wire.Window, cut_short: str | None) -> None:
        self._ranks.order("finish", text=cut_short or "")
        super()._finish(window, cut_short)

    def _broke(self, window: wire.Window) -> None:
        self._ranks.order("drop")
        super()._broke(window)

    def script_ends(self, why: str) -> None:
        self._controls.communication.is_ending = True
        super().script_ends(why)
        self._ranks.order("go", until=UNTIL_THE_END)

    def _leave_together(self, reason: str) -> None:
        self._ranks.order("leave", text=reason)
        self._leave_alone(reason)
