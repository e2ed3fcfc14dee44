"""Step clock: exclusive phases of the training thread, and the end of every update.

Every hook pushes its phase when it begins and pops it when it ends; the time between two calls belongs to the phase
on top. So phases never overlap and always add up, even when nested (a closure run by the optimizer).
"""

from __future__ import annotations

import threading
import time
from typing import Any, Callable

from ..base.nothing import nothing

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
"""Phases of a loader's work on the training thread, including torch operators of its dataset."""
NOBODY = 0
"""Identifier that no thread has."""
IN_STEP = 6
"""Number of leading phases that make up the update; the rest are beside it."""


class Update:
    """Contents of one update in nanoseconds. What most updates lack stands on the class: making one is short then."""

    evaluation_ns: list[int] | None = None
    """The part of each phase in the evaluation's span."""
    weak_evaluation_ns: list[int] | None = None
    evaluation_batches = 0
    """Batches of held-out data: of loaders that evaluate, or tensors that are evaluated on again and again."""
    beginnings: tuple[tuple[Any, int], ...] = ()
    """Loaders that began before their role was known, with the time that it took."""
    micro_steps = 0
    elements = 0
    """Elements of the first tensor of every call of a model, evaluations left out."""
    communication_ns = 0
    """Wait for other ranks, within the phases."""
    samples: int | None = None
    loss: object = None
    marks: list[Any] | None = None
    """Pairs (phase, event) at every boundary on an accelerator, resolved later by `device.py`."""
    phases_ns: list[int]

    def __init__(self, begin_ns: int) -> None:
        self.begin_ns = self.end_ns = begin_ns

    @property
    def beside_ns(self) -> int:
        """Time beside the step: the end of an epoch with its evaluation, a checkpoint."""
        inside = self.evaluation_ns
        evaluation = sum(inside[:IN_STEP]) + inside[RESTART] if inside is not None else 0
        restart = self.phases_ns[RESTART] - (inside[RESTART] if inside is not None else 0)
        return evaluation + restart + self.phases_ns[CHECKPOINT]


class StepClock:
    """Phases of the training thread. Calls from other threads do not belong here: check `mine()` first."""

    def __init__(self, now: Callable[[], int] = time.perf_counter_ns) -> None:
        self._now = now
        self.in_child = False
        """True if the script forked this process after the clock was made: nothing is measured here."""
        self.owner = threading.get_ident()
        """Identifier of the training thread. Hot hooks compare it themselves: a call would cost half a microsecond."""
        self.stack: list[int] = [OTHER]
        """Open phases, the update itself first; read-only."""
        self._sums = [0] * len(PHASE_NAMES)
        self._last = now()
        self._update = Update(self._last)
        self._span_begin: list[int] | None = None
        self._span_end: list[int] | None = None
        self.awaits_training = False
        """True from the end of an evaluating call until the training continues."""
        self._weak_begin: list[int] | None = None
        self._weak_end: list[int] | None = None
        self.events = 0
        """Counter of everything seen; a watcher takes a script for hung when it stops growing."""
        self.updates = 0
        self.evaluations_ended = 0
        """Evaluating calls that returned (weak ones left out); shows the sampler that an evaluation continued."""
        self.device: Any = None
        """Recorder of an event at every boundary, set on an accelerator (see `device.py`)."""
        self.on_update: Callable[[Update], None] = nothing
        """Callback at the end of every update, outside all phases."""
        self.between_updates: Callable[[], None] | None = None
        """Callback after that: a setting's work, charged to the update that begins."""
        self.on_evaluation_begins: Callable[[], None] = nothing
        """Callback at the first sign of an evaluation in an update: a batch of its loader, or a call of the model."""
        self.on_training_continues: Callable[[], None] = nothing
        """Callback at the first sign of training after an evaluation."""
        self.paused = False
        """True while advisor works on the training thread, charged to no update; readable from other threads."""

    # --- phases ---------------------------------------------------------------------------------------------------

    def mine(self) -> bool:
        """Return whether the calling thread is the training thread."""
        return threading.get_ident() == self.owner

    def own(self) -> bool:
        """Make the calling thread the training thread (the first to run a backward or an optimizer step).

        Return False in a forked child, where no thread trains."""
        if not self.in_child:
            self.owner = threading.get_ident()
        return not self.in_child

    def forked(self) -> None:
        """Record that this process is a child that the script forked: none of its threads trains."""
        self.in_child = True
        self.owner = NOBODY

    @property
    def phase(self) -> int:
        """Phase on top; readable from the sampler's thread."""
        return self.stack[-1]

    def inside(self, phase: int) -> bool:
        return phase in self.stack

    @property
    def depth(self) -> int:
        """Number of open phases, the update itself included."""
        return len(self.stack)

    def pop_to(self, depth: int) -> None:
        """End the phases above, including any that an exception has left open."""
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
        """End the phase on top; return its nanoseconds since the last push or pop."""
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
        """Return the time since the last push or pop: inside a hook, the phase's duration so far."""
        return self._now() - self._last

    def rename_top(self, phase: int) -> None:
        """Change the phase on top once it turns out to be another one (a wait that was a loader's restart)."""
        self.stack[-1] = phase

    def exclude(self, work: Callable[[], object]) -> object:
        """Run the agent's own work inside the loop without charging the script's update for it."""
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
        """Mark the start of an evaluating call. `weak`: it may also be a teacher that belongs to every update."""
        sums = self._settled()
        if weak:
            self._weak_begin = self._weak_begin or sums
        else:
            if self._span_begin is None:
                self.on_evaluation_begins()
            self._span_begin = self._span_begin or sums
            self.awaits_training = True
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

    def training_continues(self) -> None:
        """Charge what the script did since the last evaluating call to the evaluation: its metrics, for example."""
        self.awaits_training = False
        self._span_end = self._settled()
        self.evaluations_ended += 1
        if self.device is not None:
            self.device.mark_evaluation(begins=False, weak=False)
        self.on_training_continues()

    def read_for_evaluation(self) -> None:
        """Record a batch of held-out data."""
        self._update.evaluation_batches += 1

    @property
    def in_evaluation_span(self) -> bool:
        """True if an evaluating call has begun in this update; readable from the sampler's thread."""
        return self._span_begin is not None

    def micro_step(self, loss: object) -> None:
        """Record a backward that follows a forward; `loss` is a number, or a tensor that stays on its device."""
        self._update.micro_steps += 1
        self._update.loss = loss

    @property
    def loss(self) -> Any:
        """Loss of the current update's last micro-step."""
        return self._update.loss

    @loss.setter
    def loss(self, loss: object) -> None:
        self._update.loss = loss

    @property
    def micro_steps(self) -> int:
        """Micro-steps of the current update so far."""
        return self._update.micro_steps

    def loader_begins(self, record: Any, spent_ns: int) -> None:
        """Keep what the beginning of a loader took whose role shows later."""
        self._update.beginnings += ((record, spent_ns),)

    def add_elements(self, count: int) -> None:
        self._update.elements += count

    def add_communication(self, spent_ns: int) -> None:
        self._update.communication_ns += spent_ns

    @property
    def waited_ns(self) -> int:
        """Time in which this update has waited for batches so far; it grows with each batch."""
        return self._sums[DATA_WAIT]

    @property
    def samples(self) -> int | None:
        """Samples of the current update so far; None if they could not be counted."""
        return self._update.samples

    def add_samples(self, count: int) -> None:
        self._update.samples = (self._update.samples or 0) + count

    def end_update(self) -> None:
        """Close the update with all its phases after the main optimizer's step, hand it on, and begin the next.

        An exception that the script has caught may have left a phase open."""
        update, begin_ns = self._update, self._last
        update.end_ns = self._last = self._now()
        update.phases_ns = sums = self._sums
        sums[self.stack[-1]] += update.end_ns - begin_ns
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
        self._sums = [0] * len(PHASE_NAMES)
        self._span_begin = self._span_end = self._weak_begin = self._weak_end = None
        self.awaits_training = False
        self._last = self._now()
        self._update = Update(self._last)
        if self.device is not None:
            self.device.mark(self.stack[-1])
        if self.between_updates is not None:
            self.between_updates()

    def _settled(self) -> list[int]:
        now = self._now()
        self._sums[self.stack[-1]] += now - self._last
        self._last = now
        return list(self._sums)


def _difference(later: list[int], earlier: list[int]) -> list[int]:
    return [a - b for a, b in zip(later, earlier)]
