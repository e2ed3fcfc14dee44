"""Execution of the plan of windows: settle, count, report and switch, all of it between two updates."""

from __future__ import annotations

import functools
import math
import time
import traceback
from collections import deque
from typing import Any, Callable

from ... import wire
from ...refused import Refused
from ..base import dynamo, tracebacks
from ..base.nothing import nothing
from ..loop.clock import Update
from ..observe.memory import give_back
from ..settings.controls import Controls
from .backlog import Backlog
from .range_test import RangeTest
from .recorder import Recorder, no_columns
from .reports import Reports
from .window_length import WindowLength

IDLE_WAIT_S = 120.0
"""Seconds that the script waits for more windows before it gives up on the controller."""
POLL_EVERY_NS = 50_000_000
ROLE_UPDATES = 4
"""Updates after which what feeds the training is as well known as it will be: a model's first call is not seen."""
MAX_RESTARTS = 2
"""Maximum restarts of one window because another optimizer became the main one; later changes are ignored."""
MAX_RECOMPILES = 12
"""Recompilations to wait for per window; torch gives up a function after eight, and some models have several."""

SLOWED = ("trace", "device_trace")
"""Kinds of windows in which updates take so much longer that workers get ahead of the loop."""


class Conductor:
    """Conductor of one plan, window by window. `instruments` observe while a window is counted."""

    def __init__(
        self,
        controls: Controls,
        channel: Any,
        instruments: Any,
        rank: int,
        leave: Callable[[str], None],
        origin_s: float,
    ) -> None:
        self._controls = controls
        self._channel = channel
        self._instruments = instruments
        self._rank = rank
        self._reports = Reports(instruments, rank, origin_s)
        self._leave = leave
        self._origin_s = origin_s
        self._queue: deque[wire.Window] = deque()
        self._final = False
        self._backlog = Backlog(controls)
        self._window: wire.Window | None = None
        self._what_if: Any = None
        self._test: RangeTest | None = None
        self._length = WindowLength(controls)
        self._settling = 0
        self._dropped = 0
        self._window_begin_s = 0.0
        self._count_begin_s = 0.0
        self._skipped_before = 0
        self._recorder: Recorder | None = None
        self._polled_ns = 0
        self._quiet_until_ns = 0.0
        self._quiet_updates = 0
        self._main_changes = 0
        self._restarts = 0
        self._compiled_s = 0.0
        self._recompiles = 0
        self.failed = False
        self.before_advance: Callable[[Update], None] = nothing
        """Callback that runs first at every update that is looked at; the others only add to the columns."""
        self.before_change: Callable[[], None] = nothing
        """Callback that runs before a window that is not the script as written, or looks at it closely."""

    # --- the one entry --------------------------------------------------------------------------------------------

    def on_update(self, update: Update) -> None:
        """Advance the plan between updates, outside all phases. Our faults end the probe, never the script's state."""
        if (
            self._recorder is not None
            and update.end_ns < self._quiet_until_ns
            and self._quiet_updates > 0
            and self._main_changes == self._controls.steps.main_changes
        ):
            self._quiet_updates -= 1
            self._recorder.add(update)
            return
        self.before_advance(update)
        try:
            dynamo.without_dynamo(functools.partial(self._advance, update))
        except Exception as error:
            if tracebacks.is_of_a_worker(error):
                raise
            self.failed = True
            self._channel.send(wire.Note(self._rank, "agent_error", traceback.format_exc()))
            self._leave("agent error")

    def _advance(self, update: Update) -> None:
        window = self._window
        if window is None:
            self._next_window()
            return
        if self._controls.broken:
            self._broke(window)
            return
        if self._test is not None:
            self._test_goes_on(window, self._test, update)
            return
        if self._main_changes != self._controls.steps.main_changes:
            self._main_changed(window)
        if self._compiled_s != self._controls.compiling.watch.seconds:
            self._compiled(window)
        # The script's own evaluation does not count as the window's time for updates.
        self._window_begin_s += update.beside_ns / 1e9
        if self._recorder is None:
            self._dropped += 1
            self._settling -= 1
            self._settling = max(self._settling, self._backlog.seen_by(update))
            self._read_messages(self._channel.poll(), update)
            if self._window is window and (
                self._settling <= 0
                or self._length.settled(window, self._dropped < self._backlog.updates, self._spent_s())
            ):
                self._begin_counting(window)
            return
        over = self._length.leaves_cache(window, self._recorder)
        if not over:
            self._recorder.add(update)
            over = self._length.enough(window, self._recorder, self._spent_s())
        if over and self._backlog.outran_workers(self._recorder):
            self._window_begin_s = time.perf_counter()
            self._begin_anew(window)
            self._settling = max(self._settling, self._backlog.updates)
            return
        if over:
            self._finish(window, None)
            self._next_window()
            return
        if update.end_ns - self._polled_ns > POLL_EVERY_NS:
            self._polled_ns = update.end_ns
            self._read_messages(self._channel.poll())
        self._rest(window, update.end_ns)

    def _rest(self, window: wire.Window, now_ns: int) -> None:
        """Set the time until which nothing can be due: until then, updates are only recorded."""
        recorder = self._recorder
        if recorder is None:
            return
        self._quiet_updates = self._length.quiet_updates(window, recorder)
        self._quiet_until_ns = now_ns + min(
            POLL_EVERY_NS - (now_ns - self._polled_ns),
            _later_ns(window.min_s - recorder.counted_ns / 1e9),
            _later_ns(window.max_s - self._spent_s()),
        )

    def _compiled(self, window: wire.Window) -> None:
        """Handle a compilation in the last updates: its time is not the window's, but the counted updates include part
        of it."""
        spent_s = self._controls.compiling.watch.seconds - self._compiled_s
        self._compiled_s += spent_s
        self._window_begin_s += spent_s
        if self._recompiles >= MAX_RECOMPILES:
            return
        self._recompiles += 1
        if self._recorder is None:
            self._settling = max(self._settling, window.warm_up_updates + 1)
        else:
            self._begin_anew(window)

    def _broke(self, window: wire.Window) -> None:
        """Refuse the window after a setting failed in the script's own code, and resume the plan."""
        if self._recorder is not None:
            self._instruments.finish(window)
        self._recorder = self._window = None
        why = self._controls.take_broken() or "a setting failed"
        self._leave_window(window)
        self._channel.send(self._reports.refused(window, why))
        self._next_window()

    def _main_changed(self, window: wire.Window) -> None:
        """Restart the window after the meaning of an update has changed: earlier counts are not comparable."""
        self._main_changes = self._controls.steps.main_changes
        if self._recorder is None or self._restarts >= MAX_RESTARTS:
            return
        self._restarts += 1
        self._window_begin_s = time.perf_counter()
        self._begin_anew(window)

    def _begin_anew(self, window: wire.Window) -> None:
        assert self._recorder is not None
        self._dropped += len(self._recorder.updates)
        self._settling = max(1, window.warm_up_updates)
        self._instruments.finish(window)
        self._recorder = None

    def _spent_s(self) -> float:
        return time.perf_counter() - self._window_begin_s

    # --- from window to window --------------------------------------------------------------------------------------

    def _next_window(self) -> None:
        self._read_messages(self._channel.poll())
        begin_s = time.perf_counter()
        while True:
            while not self._queue:
                if self._final:
                    self._leave("plan done")
                    return
                self._channel.send(wire.Idle(self._rank, self._controls.clock.updates))
                messages = self._channel.wait(IDLE_WAIT_S)
                if not messages:
                    self._leave("no controller")
                    return
                self._read_messages(messages)
                self._backlog.stood_still(time.perf_counter() - begin_s)
            if self._is_early_for(self._queue[0]):
                return
            window = self._queue.popleft()
            try:
                if self._enter(window):
                    return
            except Refused as refusal:
                self._channel.send(self._reports.refused(window, str(refusal)))
                self._leave_window(window)

    def _is_early_for(self, window: wire.Window) -> bool:
        """Return whether the window changes something, and the next updates may still show what feeds the training."""
        controls = self._controls
        changes = bool(window.config or window.what_if or window.kind != "measure")
        return changes and controls.loaders.train is None and controls.clock.updates < ROLE_UPDATES

    def _read_messages(self, messages: list[object], settling: Update | None = None) -> None:
        """Take in the controller's messages; `settling` is the update that has just ended in a window's warm-up."""
        for message in messages:
            if isinstance(message, wire.Plan):
                self._queue.extend(message.windows)
                self._final = message.final
            else:
                if settling is not None and self._window is not None:
                    # No time for more: an update of the warm-up is better than none.
                    self._dropped -= 1
                    self._begin_counting(self._window)
                    if self._recorder is not None:
                        self._recorder.add(settling)
                self._finish_early(message.reason if isinstance(message, wire.Stop) else "stopped")
                self._leave("stopped")

    def _enter(self, window: wire.Window) -> bool:
        """Begin a window; return False if it is already over (a drain)."""
        from ... import whatif

        controls, switches = self._controls, self._controls.loaders.switches
        if window.config or window.what_if or window.kind != "measure":
            self.before_change()
        changed = controls.set_config(window.config)
        if changed:
            give_back()
        controls.loaders.deliveries.hold_ends = not window.natural
        self._what_if = whatif.get(window.what_if) if window.what_if else None
        self._window_begin_s = time.perf_counter()
        if window.kind == "drain":
            self._drain(window)
            return False
        settle = window.warm_up_updates
        if self._what_if is not None:
            self._what_if.enter(controls)
            settle = max(settle, self._what_if.settle_updates)
            changed = True
        settle = max(settle, self._backlog.begin(changed=changed, switched=controls.loaders.switches != switches))
        if window.kind == "epoch_end":
            controls.loaders.end_epoch_now()
        self._window = window
        self._dropped = 0
        self._restarts = self._recompiles = 0
        self._compiled_s = controls.compiling.watch.seconds
        self._main_changes = controls.steps.main_changes
        self._settling = settle
        self._recorder = None
        self._instruments.enter(window)
        if window.kind == "range_test":
            self._test = RangeTest(controls, window)
        elif settle == 0:
            self._begin_counting(window)
        return True

    def _begin_counting(self, window: wire.Window) -> None:
        self._instruments.begin(window)
        self._recorder = self._instruments.recorder()
        self._quiet_updates = 0
        self._length.begin()
        self._skipped_before = self._controls.precision.skipped_steps
        self._count_begin_s = time.perf_counter() - self._origin_s

    def _drain(self, window: wire.Window) -> None:
        self._instruments.enter(window)
        self._instruments.begin(window)
        report = self._what_if.drain(self._controls, window.max_s, window.sampler_hz > 0)
        extra = {**report, **self._instruments.finish_drain(window)}
        self._backlog.stood_still(math.inf)
        if "refused" in report:
            raise Refused(str(report["refused"]))
        self._channel.send(self._reports.empty(window, extra))

    def _test_goes_on(self, window: wire.Window, test: RangeTest, update: Update) -> None:
        """Hand the update to the range test, and go on once it is done or refused."""
        try:
            if not test.saw(update):
                return
        except Refused as refusal:
            test.abandon()
            self._channel.send(self._reports.refused(window, str(refusal)))
        else:
            self._channel.send(self._reports.empty(window, test.found))
        self._test = self._window = None
        self._leave_window(window)
        self._next_window()

    # --- ends ---------------------------------------------------------------------------------------------------------

    def _finish(self, window: wire.Window, cut_short: str | None) -> None:
        recorder, self._recorder = self._recorder, None
        needed = self._length.needed_updates(recorder.updates) if recorder is not None else 0
        if recorder is not None and self._what_if is None and window.kind == "measure":
            self._backlog.counted(recorder.updates)
        self._window = None
        watched = self._instruments.finish(window)
        columns, extra = recorder.columns() if recorder is not None else (no_columns(), {})
        watched["extra"] = {**watched["extra"], **extra}
        if recorder is not None and len(recorder.updates) < needed:
            watched["extra"]["needed_updates"] = needed
        if skipped := self._controls.precision.skipped_steps - self._skipped_before:
            watched["extra"]["skipped_steps"] = skipped
        compiled = self._controls.compiling.describe()
        if compiled:
            watched["extra"]["compile"] = compiled
            remark = self._controls.compiling.remark()
            if remark is not None:
                self._channel.send(wire.Note(self._rank, wire.REMARK, remark))
        self._leave_window(window)
        self._instruments.on_report(window)
        self._channel.send(
            self._reports.of(
                window,
                self._count_begin_s,
                dropped_updates=self._dropped,
                cut_short=cut_short,
                set_up_s=self._controls.compiling.set_up_s(),
                **columns,
                **watched,
            )
        )

    def _leave_window(self, window: wire.Window) -> None:
        what_if, self._what_if = self._what_if, None
        if what_if is not None and what_if.leave is not None:
            what_if.leave(self._controls)
        if (what_if is not None and what_if.pauses_workers) or window.kind in SLOWED:
            self._backlog.stood_still(math.inf)
        self._instruments.leave(window)

    def _finish_early(self, why: str) -> None:
        """Report the counted part of the current window."""
        window = self._window
        if window is not None and self._test is not None and self._test.stop()["sweeps"]:
            self._channel.send(self._reports.empty(window, self._test.found))
        if window is not None and self._recorder is not None and self._recorder.updates:
            self._finish(window, why)
        self._window = None

    def script_ends(self, why: str) -> None:
        """Report the counted part when the script ends on its own, successfully or not."""
        try:
            self._finish_early(why)
        except Exception:
            self._channel.send(wire.Note(self._rank, "agent_error", traceback.format_exc()))

    def counting(self) -> tuple[wire.Window | None, Recorder | None]:
        """Return the present window and its recorder, in any thread; None if nothing is counted."""
        return self._window, self._recorder

    def report_so_far(self, window: wire.Window, recorder: Recorder) -> wire.WindowDone:
        """Return the report of a window as it stands, in any thread."""
        return self._reports.of(window, self._count_begin_s, dropped_updates=self._dropped, **recorder.columns_so_far())


def _later_ns(seconds: float) -> float:
    """Return nanoseconds until something is due; infinity if overdue: it waits for updates, not for the clock."""
    return seconds * 1e9 if seconds > 0 else math.inf
