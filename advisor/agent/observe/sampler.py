"""Sampler: a separate thread checks the training thread's position and counts the user's lines.

A sample sees the thread where it releases the interpreter's lock, and pure Python releases it only every 5 ms. Shorter
stretches show up at the call that follows them: of samples that are parsed for 60 µs each, 97% were charged to the line
that stacks them. So the interval is shortened while the sampler is the only thread that requests the lock, and the
kernel is asked to wake the sampler as soon as it is over, not some 50 µs later.
Hits should be distributed inside a phase, whose length the step clock knows, never across phases.
"""

from __future__ import annotations

import ctypes
import random
import sys
import threading
import time
from types import CodeType, FrameType
from typing import Any, Optional

from ... import wire
from ..loop.clock import DATA_WAIT, PHASE_NAMES, StepClock
from ..loop.frames import Frames
from .callee import kind_of_call

MAX_LINES = 400
"""Maximum lines reported per window; rarer ones than the 400th are not findings."""
SWITCH_INTERVAL_S = 2e-6
"""Shortened interval: much shorter than the parsing above. A switch costs some 10 µs, and happens only when a sample is
due."""
MOST_MISSED = 100
"""Samples that one stands for at most besides itself. A call that keeps the interpreter's lock, as NumPy's do, is seen
once, when it ends: what was due meanwhile counts for its line. A permutation of 40 ms had a third of its share."""
MOST_TRIES = 4
"""Readings of one sample while the thread goes on under it: on busy CPUs, deep stacks would hardly ever be read."""
PR_SET_TIMERSLACK = 29
TIMER_SLACK_NS = 1
QUIET_THREADS = ("_MainThread", "TMonitor")
"""Kinds of threads that nearly always sleep, as ours do; beside any other, the interpreter's own interval stays."""
QUIET_NAMES = ("advisor", "QueueFeederThread")
"""Beginnings of such threads' names. Queues of `multiprocessing` have a feeder each, which only sends the indices of a
batch to a worker."""
PINNING = "(_pin_memory_loop)"
"""End of the name of the thread that pins the batches of workers: it has none while no worker is read."""

_Key = tuple[CodeType, int, int, str, Optional[str], str]
"""Code, line, instruction, phase, the kind shown by the frames below, and the library that the line calls."""


class Sampler:
    """Sampler of one thread at a given rate; `take` hands over the counts since the last one."""

    def __init__(self, clock: StepClock, thread_id: int | None = None) -> None:
        """Watch the given thread, or else the training thread, whichever that turns out to be."""
        self._clock = clock
        self._thread_id = thread_id
        self._frames = Frames()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._counts: dict[_Key, int] = {}
        self._globals: dict[CodeType, dict[str, Any]] = {}
        self._pending: list[_Key] = []
        self._evaluations_ended = 0
        self._hits = 0
        self._in_loader = False
        self._switch_intervals_s: tuple[float, float] | None = None
        """The interpreter's own interval, and the shortened one as the interpreter keeps it."""
        self.cost_s = 0.0
        """CPU seconds that the samples took so far."""

    @property
    def _watched(self) -> int:
        return self._thread_id if self._thread_id is not None else self._clock.owner

    def start(self, hz: float, in_loader: bool = False) -> None:
        """Begin to sample, replacing a rate that is already running.

        `in_loader`: the thread reads the training loader for advisor, and only the loader's work counts.
        """
        self.stop()
        self._in_loader = in_loader
        if hz <= 0:
            return
        self._shorten_switching()
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(1.0 / hz, self._stop), name="advisor-sampler", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop sampling; no sample is taken after this returns."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop.set()
            thread.join(timeout=1.0)
        self._restore_switching()

    def _shorten_switching(self) -> None:
        watched = self._watched
        others = [
            thread
            for thread in threading.enumerate()
            if thread.ident != watched
            and not _is_quiet(thread)
            and not (self._in_loader and thread.name.endswith(PINNING))
        ]
        before_s = sys.getswitchinterval()
        if not others and before_s > SWITCH_INTERVAL_S:
            sys.setswitchinterval(SWITCH_INTERVAL_S)
            self._switch_intervals_s = before_s, sys.getswitchinterval()

    def _restore_switching(self) -> None:
        intervals_s, self._switch_intervals_s = self._switch_intervals_s, None
        # An interval that the script has set meanwhile stays.
        if intervals_s is not None and sys.getswitchinterval() == intervals_s[1]:
            sys.setswitchinterval(intervals_s[0])

    def take(self) -> tuple[int, list[wire.SampledLine]]:
        """Return the hits and the lines, most frequent first, and reset the counts."""
        self._settle_pending(evaluation=self._clock.evaluations_ended != self._evaluations_ended)
        self._evaluations_ended = self._clock.evaluations_ended
        counts, self._counts = self._counts, {}
        hits, self._hits = self._hits, 0
        lines: dict[tuple[str, int, str, str, str, str], int] = {}
        for (code, line, instruction, phase, known, library), number in counts.items():
            kind = known or kind_of_call(code, instruction, line, self._globals.get(code, {}), phase)
            key = (code.co_filename, line, code.co_name, phase, kind, library)
            lines[key] = lines.get(key, 0) + number
        self._globals.clear()
        ranked = sorted(lines.items(), key=lambda item: -item[1])[:MAX_LINES]
        return hits, [
            wire.SampledLine(file, line, function, phase, kind, hits=number, library=library)
            for (file, line, function, phase, kind, library), number in ranked
        ]

    def _run(self, period_s: float, stop: threading.Event) -> None:
        begin_s = time.thread_time()
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0)  # of this thread only
        # Uneven on purpose: a loop with its own period would show the same line again and again. The global generator
        # belongs to the script.
        uneven = random.Random(0)
        while True:
            wait_s, waiting_s = period_s * uneven.uniform(0.5, 1.5), time.perf_counter()
            if stop.wait(wait_s):
                break
            late_s = time.perf_counter() - waiting_s - wait_s
            hits = 1 + min(MOST_MISSED, int(late_s / period_s))
            for _try in range(MOST_TRIES):
                if self.sample(sys._current_frames().get(self._watched), hits):
                    break
        self.cost_s += time.thread_time() - begin_s

    def sample(self, frame: FrameType | None, hits: int = 1) -> bool:
        """Count this frame's position so many times; return False if it went on meanwhile."""
        if frame is None:
            return True
        instruction = frame.f_lasti
        key = self._read(frame)
        # With so short an interval the thread may take the lock back meanwhile: its frames are then others.
        if frame.f_lasti != instruction:
            return False
        if key is None:
            return True
        self._hits += hits
        clock = self._clock
        if clock.evaluations_ended != self._evaluations_ended:
            self._evaluations_ended = clock.evaluations_ended
            self._settle_pending(evaluation=True)
        if clock.in_evaluation_span:
            # This still belongs to the evaluation if another of its calls ends later.
            self._pending += [key] * hits
        else:
            self._settle_pending(evaluation=False)
            self._counts[key] = self._counts.get(key, 0) + hits
        return True

    def _read(self, frame: FrameType) -> _Key | None:
        """Return the line to count and the kind of work below it; None while advisor works."""
        if self._in_loader:
            work, phase = self._frames.loader_work(frame), PHASE_NAMES[DATA_WAIT]
        else:
            work = self._frames.work(frame) if not self._clock.paused else None
            phase = PHASE_NAMES[self._clock.phase]
        if work is None:
            return None
        code, line = work.frame.f_code, work.frame.f_lineno or 0
        if work.frame is not frame:
            # The line waits for code below it: no need to guess its call.
            return code, line, -1, phase, work.kind or "python", work.library
        self._globals[code] = frame.f_globals
        return code, line, frame.f_lasti, phase, None, work.library

    def _settle_pending(self, evaluation: bool) -> None:
        for code, line, instruction, phase, kind, library in self._pending:
            key = (code, line, instruction, "evaluation" if evaluation else phase, kind, library)
            self._counts[key] = self._counts.get(key, 0) + 1
        self._pending = []


def _is_quiet(thread: threading.Thread) -> bool:
    return type(thread).__name__ in QUIET_THREADS or thread.name.startswith(QUIET_NAMES)
