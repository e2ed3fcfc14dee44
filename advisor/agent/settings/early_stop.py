"""End of a training whose loss has flattened: its loader ends, so the script's own code after the loop still runs.

The loss is that of the script's evaluations, or, until one is recognised, the mean of the training's over an epoch. A
loop over epochs goes on, and finds its loader empty.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import TYPE_CHECKING, Any, Callable

from ...patience import Patience, Waiting
from ...refused import Refused
from ..base.nothing import nothing
from ..loader.loops import reads_to_the_end
from ..loop.clock import StepClock
from ..loop.empty_epochs import why_it_fails
from ..loop.enclosing import enclosing_loops
from ..loop.evaluation_losses import Evaluated, EvaluationLosses
from ..loop.roots import Root, Roots
from ..loop.steps import Steps

if TYPE_CHECKING:
    from ..loader.hooks import LoaderHooks

READ_EVERY = 8
"""Backwards of which one is read for the mean loss of an epoch: adding up on a device launches a kernel."""
FALLEN = 0.99
"""Part of its last value below which a learning rate has fallen, and the loss may follow."""
DECAYED = 0.1
"""Part of its largest value below which a scheduled rate has little left to fall."""


class EarlyStop:
    """Watch on the losses of a real training. It does nothing, and costs nothing, until it is set."""

    def __init__(self, clock: StepClock, roots: Roots, steps: Steps, loaders: LoaderHooks) -> None:
        self._clock = clock
        self._roots = roots
        self._steps = steps
        self._loaders = loaders
        self._evaluations = EvaluationLosses(clock)
        self._waiting: Waiting | None = None
        self._say: Callable[[str], None] = nothing
        self._broke: Callable[[str], None] = nothing
        self._saved: tuple[Any, Any, Any, Any] | None = None
        """Callbacks of others, which are called before ours."""
        self._flat = self._said = False
        self._evaluated = False
        self._rate: float | None = None
        self._largest_rate = 0.0
        self._epoch: tuple[Any, int] = (0.0, 0)
        self._backwards = 0

    def set(self, patience: Patience, say: Callable[[str], None], broke: Callable[[str], None]) -> None:
        """Watch from now on; `say` announces the end, `broke` is told why the training cannot be ended."""
        if self._waiting is not None:
            self._waiting = Waiting(patience)
            return
        if self._loaders.train is None:
            raise Refused("no DataLoader feeds the updates, and nothing else could end the training")
        if self._loaders.train.reader != self._clock.owner:
            raise Refused("another thread reads the loader: its end would not be the loop's")
        self._waiting, self._say, self._broke = Waiting(patience), say, broke
        self._flat = self._said = self._evaluated = False
        self._epoch, self._rate, self._largest_rate = (0.0, 0), None, 0.0
        clock = self._clock
        self._saved = (
            self._roots.on_evaluated,
            clock.on_training_continues,
            self._steps.on_micro_step,
            clock.on_evaluation_begins,
        )
        self._roots.on_evaluated = self._saw_evaluated
        clock.on_training_continues, clock.on_evaluation_begins = self._continues, self._begins
        self._steps.on_micro_step = self._micro_step
        self._evaluations.on_evaluation = self._evaluation
        self._evaluations.install()
        self._loaders.deliveries.is_over = self._is_over

    def restore(self) -> None:
        """Watch no more; a training that was ended goes on with its next epoch."""
        self._waiting = None
        if self._saved is None:
            return
        self._evaluations.stop()
        clock = self._clock
        evaluated, clock.on_training_continues, self._steps.on_micro_step, clock.on_evaluation_begins = self._saved
        self._roots.on_evaluated = evaluated
        self._saved = None
        self._loaders.deliveries.is_over = None

    @property
    def has_ended(self) -> bool:
        """True once the loader has no batches any more."""
        return self._said

    # --- what is seen -------------------------------------------------------------------------------------------------

    def _saw_evaluated(self, root: Root, output: object) -> None:
        if self._saved is not None:
            self._saved[0](root, output)
        if root.owned:
            self._evaluations.saw_output(output)

    def _begins(self) -> None:
        if self._saved is not None:
            self._saved[3]()
        self._evaluations.begins()

    def _continues(self) -> None:
        if self._saved is not None:
            self._saved[1]()
        self._evaluations.training_continues()

    def _micro_step(self) -> None:
        if self._saved is not None:
            self._saved[2]()
        self._evaluations.rest()
        self._backwards += 1
        if self._evaluated or self._backwards % READ_EVERY:
            return
        loss, count = self._epoch
        if not hasattr(self._clock.loss, "numel") or self._clock.loss.numel() == 1:
            self._epoch = loss + self._clock.loss, count + 1

    def _evaluation(self, found: Evaluated) -> None:
        if not self._evaluated and self._waiting is not None:
            self._evaluated = True
            self._waiting.lowest = None  # the training's losses are no measure for it
        self._saw(found.loss)

    def _saw(self, loss: float) -> None:
        if self._waiting is None or loss - loss != 0:
            return
        if self._rate_fell():
            self._waiting.begin_again()
        self._flat = self._waiting.saw(loss)

    # --- the end ------------------------------------------------------------------------------------------------------

    def _is_over(self, begins: bool) -> bool:
        """Return whether the training's loader must end here; `begins` at the first batch of an epoch."""
        if self._said:
            return True
        if begins and not self._evaluated and self._epoch[1]:
            (total, count), self._epoch = self._epoch, (0.0, 0)
            self._clock.exclude(lambda: self._saw(float(total) / count))
        if not self._flat or self._decay_ahead():
            return False
        frame = sys._getframe(1)
        return bool(self._clock.exclude(lambda: self._end(frame)))

    def _end(self, frame: FrameType) -> bool:
        why = _why_not(frame)
        if why is not None:
            self.restore()
            self._broke(why)
            return False
        assert self._waiting is not None
        what = "the evaluation's loss" if self._evaluated else "the mean training loss of an epoch"
        self._said = True
        self._say(
            f"early stopping after {self._clock.updates:,} updates: {what} has not fallen below "
            f"{self._waiting.lowest:.6g} for {self._waiting.waited} evaluations. The loader has no batches from now "
            "on; epochs that follow are empty, and the script's code after its loop runs as usual"
        )
        return True

    def _rate_fell(self) -> bool:
        before, self._rate = self._rate, self._present_rate()
        self._largest_rate = max(self._largest_rate, self._rate or 0.0)
        return before is not None and self._rate is not None and self._rate < FALLEN * before

    def _decay_ahead(self) -> bool:
        """Return whether a scheduler drives the rate, and it is still far from its end."""
        groups = self._groups()
        scheduled = any("initial_lr" in group for group in groups)
        rate = self._present_rate()
        return scheduled and rate is not None and rate > DECAYED * self._largest_rate

    def _present_rate(self) -> float | None:
        rate = next((group.get("lr") for group in self._groups()), None)
        return float(rate) if rate is not None else None

    def _groups(self) -> list[dict[str, Any]]:
        return [
            group for optimizer, _record, main in self._steps.optimizers() if main for group in optimizer.param_groups
        ]


def _why_not(frame: FrameType) -> str | None:
    """Return why the script's loop would not end with its loader; None if it would."""
    if not reads_to_the_end(frame):
        return "no `for` of the script reads the loader to its end, so the loop would not end with it"
    loops = enclosing_loops(frame)
    if not loops:
        return "the text of the script's loop was not found: it is unknown whether it would end"
    if any(loop.is_while for loop in loops):
        return "a `while` around the loop would wait for updates that no longer come"
    return why_it_fails(loops)
