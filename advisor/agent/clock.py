"""The step clock: exclusive phases of the training thread, and the end of every update.

Every hook pushes its phase when it begins and pops it when it ends; the time between two calls belongs to the phase
on top. So phases never overlap and always add up, also where one lies in another (a closure run by the optimizer).
"""

from __future__ import annotations

import threading
import time
from typing import Any, Callable

DATA_WAIT, HOST_TO_DEVICE, FORWARD, BACKWARD, OPTIMIZER, OTHER, CHECKPOINT, LOGGING, RESTART = range(9)
PHASE_NAMES = (
    "data_wait",
    "host_to_device",
    "forward",
    "backward",
    "optimizer",
    "other",
    "checkpoint",
    "logging",
    "loader_restart",
)
LOADING = (DATA_WAIT, RESTART)
"""What a loader does on the training thread, its dataset's own torch operators included."""
NOBODY = 0
"""No thread has this identifier."""
IN_STEP = 6
"""The first so many phases make up the update; the rest stand beside it."""


class Update:
    """What one update was made of; nanoseconds. `evaluation` holds the part of each phase that lies in its span."""

    __slots__ = (
        "begin_ns",
        "end_ns",
        "evaluation_ns",
        "loss",
        "marks",
        "micro_steps",
        "phases_ns",
        "samples",
        "weak_evaluation_ns",
    )

    def __init__(self, begin_ns: int) -> None:
        self.begin_ns = begin_ns
        self.end_ns = begin_ns
        self.phases_ns: list[int] = []
        self.evaluation_ns: list[int] | None = None
        self.weak_evaluation_ns: list[int] | None = None
        self.micro_steps = 0
        self.samples: int | None = None
        self.loss: Any = None
        self.marks: list[Any] | None = None
        """On an accelerator: (phase, event) at every boundary, resolved later by `device.py`."""

    @property
    def beside_ns(self) -> int:
        """What stood beside the step: the end of an epoch with its evaluation, a checkpoint."""
        inside = self.evaluation_ns
        evaluation = sum(inside[:IN_STEP]) + inside[RESTART] if inside is not None else 0
        restart = self.phases_ns[RESTART] - (inside[RESTART] if inside is not None else 0)
        return evaluation + restart + self.phases_ns[CHECKPOINT]


class StepClock:
    """Phases of one thread, the one that trains. Calls from other threads are not for it: ask `mine()` first."""

    def __init__(self, now: Callable[[], int] = time.perf_counter_ns) -> None:
        self._now = now
        self.in_child = False
        """Whether this process was forked by the script after the clock was made: then nothing is measured here."""
        self.owner = threading.get_ident()
        """The thread that trains. Hooks on the hot path compare it themselves: a call is half a microsecond there."""
        self.stack: list[int] = [OTHER]
        """Open phases, the update itself first; for reading only."""
        self._sums = [0] * len(PHASE_NAMES)
        self._last = now()
        self._update = Update(self._last)
        self._span_begin: list[int] | None = None
        self._span_end: list[int] | None = None
        self._weak_begin: list[int] | None = None
        self._weak_end: list[int] | None = None
        self.events = 0
        """Grows with everything seen; a watcher tells a hang by its standing still."""
        self.updates = 0
        self.evaluations_ended = 0
        """Evaluating calls that came back (the weak ones left out); tells the sampler that an evaluation went on."""
        self.device: Any = None
        """Set on an accelerator: records an event at every boundary (see `device.py`)."""
        self.on_update: Callable[[Update], None] = _nothing
        """Called at the end of every update, outside all phases."""
        self.paused = False
        """Advisor works on the training thread, and no update is charged for it; readable from other threads."""

    # --- phases ---------------------------------------------------------------------------------------------------

    def mine(self) -> bool:
        """Whether the calling thread is the one that trains."""
        return threading.get_ident() == self.owner

    def own(self) -> bool:
        """Take the calling thread for the one that trains (the first to run a backward or an optimizer step); False in
        a forked child, where none does."""
        if not self.in_child:
            self.owner = threading.get_ident()
        return not self.in_child

    def forked(self) -> None:
        """This is a child that the script has forked: no thread of it is the one that trains."""
        self.in_child = True
        self.owner = NOBODY

    @property
    def phase(self) -> int:
        """The phase on top; readable from the sampler's thread."""
        return self.stack[-1]

    def inside(self, phase: int) -> bool:
        return phase in self.stack

    @property
    def depth(self) -> int:
        """How many phases are open, the update itself included."""
        return len(self.stack)

    def pop_to(self, depth: int) -> None:
        """End the phases above: also those that an exception has left open."""
        if len(self.stack) > depth + 1:
            del self.stack[depth + 1 :]
        if len(self.stack) > depth:
            self.pop()

    def push(self, phase: int) -> None:
        now = self._now()
        self._sums[self.stack[-1]] += now - self._last
        self._last = now
        self.stack.append(phase)
        self.events += 1
        if self.device is not None:
            self.device.mark(phase)

    def pop(self) -> int:
        """Nanoseconds since the last push or pop, which now belong to the phase that ends."""
        now = self._now()
        spent = now - self._last
        self._sums[self.stack[-1]] += spent
        self._last = now
        if len(self.stack) > 1:
            self.stack.pop()
        if self.device is not None:
            self.device.mark(self.stack[-1])
        return spent

    def elapsed_in_phase_ns(self) -> int:
        """Since the last push or pop: inside a hook, how long the present phase lasts already."""
        return self._now() - self._last

    def rename_top(self, phase: int) -> None:
        """The phase on top turns out to be another one (a wait that was a loader's restart)."""
        self.stack[-1] = phase

    def exclude(self, work: Callable[[], Any]) -> Any:
        """Run agent's own work inside the loop without charging the script's update for it."""
        outer, self.paused = self.paused, True
        begin = self._now()
        try:
            result = work()
        finally:
            self.paused = outer
        spent = self._now() - begin
        self._last += spent
        self._update.begin_ns += spent
        return result

    # --- what an update is made of ----------------------------------------------------------------------------------

    def evaluation_begins(self, weak: bool = False) -> None:
        """An evaluating call begins now. `weak`: it may also be a teacher that belongs to every update."""
        sums = self._settled()
        if weak:
            self._weak_begin = self._weak_begin or sums
        else:
            self._span_begin = self._span_begin or sums
        if self.device is not None:
            self.device.mark_evaluation(begins=True, weak=weak)

    def evaluation_ends(self, weak: bool = False) -> None:
        if weak:
            self._weak_end = self._settled()
        else:
            self._span_end = self._settled()
            self.evaluations_ended += 1
        if self.device is not None:
            self.device.mark_evaluation(begins=False, weak=weak)

    @property
    def in_evaluation_span(self) -> bool:
        """Whether an evaluating call has begun in this update; readable from the sampler's thread."""
        return self._span_begin is not None

    def micro_step(self, loss: Any) -> None:
        """A backward that follows a forward has begun; `loss` is a number, or a tensor that stays on its device."""
        self._update.micro_steps += 1
        self._update.loss = loss

    @property
    def loss(self) -> Any:
        """Of the present update's last micro-step."""
        return self._update.loss

    @loss.setter
    def loss(self, loss: Any) -> None:
        self._update.loss = loss

    @property
    def micro_steps(self) -> int:
        """Of the present update so far."""
        return self._update.micro_steps

    def add_samples(self, count: int) -> None:
        self._update.samples = (self._update.samples or 0) + count

    def end_update(self) -> None:
        """The main optimizer has stepped: close the update with all its phases, hand it on, begin the next.

        A phase may be left open by an exception that the script has caught."""
        update, begun = self._update, self._last
        update.end_ns = self._last = self._now()
        update.phases_ns = sums = self._sums
        sums[self.stack[-1]] += update.end_ns - begun
        if len(self.stack) > 1:
            del self.stack[1:]
            if self.device is not None:
                self.device.mark(OTHER)
        if self._span_begin is not None and self._span_end is not None:
            update.evaluation_ns = _difference(self._span_end, self._span_begin)
        if self._weak_begin is not None and self._weak_end is not None:
            update.weak_evaluation_ns = _difference(self._weak_end, self._weak_begin)
        if self.device is not None:
            update.marks = self.device.take_marks()
        self.updates += 1
        self.paused = True
        try:
            self.on_update(update)
        finally:
            self.paused = False
        self._begin_update()

    def _begin_update(self) -> None:
        self._sums = [0] * len(PHASE_NAMES)
        self._span_begin = self._span_end = self._weak_begin = self._weak_end = None
        self._last = self._now()
        self._update = Update(self._last)
        if self.device is not None:
            self.device.mark(self.stack[-1])

    def _settled(self) -> list[int]:
        now = self._now()
        self._sums[self.stack[-1]] += now - self._last
        self._last = now
        return list(self._sums)


def _difference(later: list[int], earlier: list[int]) -> list[int]:
    return [a - b for a, b in zip(later, earlier)]


def _nothing(_update: Update) -> None:
    return None
