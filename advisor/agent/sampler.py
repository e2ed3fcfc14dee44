"""The sampler: a thread of its own looks where the training thread stands, and counts the user's lines.

A sample sees the thread where it gives up the interpreter's lock, and pure Python gives it up only every 5 ms: shorter
stretches are seen at the call that follows them (with a copy and a loop of 1 ms each before a matrix product, all
three were charged to the product). So the interval is shortened while the sampler is the only thread that asks for
the lock; and hits are meant to be shared out inside a phase, whose length the step clock knows, never across phases.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from types import CodeType, FrameType
from typing import Any, Optional

from .. import wire
from .callee import kind_of_call
from .clock import DATA_WAIT, PHASE_NAMES, StepClock
from .frames import Frames

MAX_LINES = 400
"""Lines reported of a window; what is rarer than the 400th is no finding."""
SWITCH_INTERVAL_S = 0.0002
"""The copy and the loop above are then seen within a third of their true shares. A switch costs some 10 µs, and one
happens only when a sample is due."""
QUIET_THREADS = ("_MainThread", "TMonitor")
"""Kinds of threads that sleep nearly always, as ours do; beside any other one the interpreter's own interval stays."""

_Key = tuple[CodeType, int, int, str, Optional[str], str]
"""Code, line, instruction, phase, the kind that the frames below tell, and the library that the line calls."""


class Sampler:
    """Samples one thread at a rate; `take` hands over what was counted since the last one."""

    def __init__(self, clock: StepClock, thread_id: int | None = None) -> None:
        """Without a thread the one that trains is watched, whichever that comes to be."""
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
        self._switch_interval_s: float | None = None
        self.cost_s = 0.0
        """CPU time that the samples took so far."""

    @property
    def _watched(self) -> int:
        return self._thread_id if self._thread_id is not None else self._clock.owner

    def start(self, hz: float, in_loader: bool = False) -> None:
        """Begin to sample; a rate that is already running is replaced.

        `in_loader`: the thread reads the training loader for advisor, and only what the loader does is counted.
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
        """No sample is taken after this returns."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop.set()
            thread.join(timeout=1.0)
        self._restore_switching()

    def _shorten_switching(self) -> None:
        watched = self._watched
        others = [t for t in threading.enumerate() if t.ident != watched and not _is_quiet(t)]
        before_s = sys.getswitchinterval()
        if not others and before_s > SWITCH_INTERVAL_S:
            sys.setswitchinterval(SWITCH_INTERVAL_S)
            self._switch_interval_s = before_s

    def _restore_switching(self) -> None:
        before_s, self._switch_interval_s = self._switch_interval_s, None
        # Where the script has set its own meanwhile, that one stays.
        if before_s is not None and abs(sys.getswitchinterval() - SWITCH_INTERVAL_S) < 1e-6:
            sys.setswitchinterval(before_s)

    def take(self) -> tuple[int, list[wire.SampledLine]]:
        """Hits, the most frequent lines first; what was counted starts at nothing again."""
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
        # Uneven on purpose: a loop with a period of its own would show the same line again and again. The global
        # generator is the script's.
        uneven = random.Random(0)
        while not stop.wait(period_s * uneven.uniform(0.5, 1.5)):
            self.sample(sys._current_frames().get(self._watched))
        self.cost_s += time.thread_time() - begin_s

    def sample(self, frame: FrameType | None) -> None:
        """Count where this frame stands."""
        if frame is None:
            return
        key = self._read(frame)
        if key is None:
            return
        self._hits += 1
        clock = self._clock
        if clock.evaluations_ended != self._evaluations_ended:
            self._evaluations_ended = clock.evaluations_ended
            self._settle_pending(evaluation=True)
        if clock.in_evaluation_span:
            # Whether this still belongs to the evaluation is known when another of its calls is seen to end.
            self._pending.append(key)
        else:
            self._settle_pending(evaluation=False)
            self._counts[key] = self._counts.get(key, 0) + 1

    def _read(self, frame: FrameType) -> _Key | None:
        """The line to count, and what the frame below it that says most is doing; None while advisor works."""
        if self._in_loader:
            work, phase = self._frames.loader_work(frame), PHASE_NAMES[DATA_WAIT]
        else:
            work = self._frames.work(frame) if not self._clock.paused else None
            phase = PHASE_NAMES[self._clock.phase]
        if work is None:
            return None
        code, line = work.frame.f_code, work.frame.f_lineno or 0
        if work.frame is not frame:
            # The line waits for code below it: what it calls need not be guessed.
            return code, line, -1, phase, work.kind or "python", work.library
        self._globals[code] = frame.f_globals
        return code, line, frame.f_lasti, phase, None, work.library

    def _settle_pending(self, evaluation: bool) -> None:
        for code, line, instruction, phase, kind, library in self._pending:
            key = (code, line, instruction, "evaluation" if evaluation else phase, kind, library)
            self._counts[key] = self._counts.get(key, 0) + 1
        self._pending = []


def _is_quiet(thread: threading.Thread) -> bool:
    return type(thread).__name__ in QUIET_THREADS or thread.name.startswith("advisor")
