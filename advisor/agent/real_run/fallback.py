"""Fallback of a real training if a setting fails in its first updates: the setting goes, the training continues.

Only repeatable work is repeated: a forward before its backward, a batch that was not delivered. A non-finite loss is
kept from the parameters. A failure within a backward pass or a step cannot be undone: the script gets that error, with
a line that names the settings.
"""

from __future__ import annotations

import math
import traceback
from typing import TYPE_CHECKING, Any, Callable

from ... import knobs
from ..base.pass_through import passes_on
from ..base.tracebacks import is_out_of_memory
from ..loop.clock import OPTIMIZER
from ..loop.roots import Root
from ..settings.controls import Controls
from ..settings.gradients import take_gradients
from ..settings.passing import PassingState

if TYPE_CHECKING:
    from torch.optim import Optimizer

OUTERMOST = 0
"""Place among the interventions around a backward: the loss is checked as the script computed it."""

GiveUp = Callable[[str, str], None]
"""(setting, why): undo the setting, say so, and never apply it again."""


def of_the_loader() -> list[str]:
    """Return the settings charged with a batch that cannot be fetched; a forward already has its batch."""
    return [knob.id for knob in knobs.all_knobs() if knob.fails_in == "batch"]


def suspects() -> list[str]:
    """Return the settings charged with a failing forward or a non-finite loss, the likeliest first."""
    charged = [knob for knob in knobs.all_knobs() if knob.fails_in == "forward"]
    return [knob.id for knob in sorted(charged, key=lambda knob: knob.suspicion)]


class FallBack:
    """Watch over the first updates; afterwards it watches only the loader, which costs nothing."""

    def __init__(self, controls: Controls, give_up: GiveUp, put_again: Callable[[str], None]) -> None:
        self._controls = controls
        self._suspects, self._of_the_loader = suspects(), of_the_loader()
        self._give_up = give_up
        self._put_again = put_again
        self._passing: dict[int, PassingState] = {}
        self._poisoned = False
        self._kept: list[tuple[Any, object]] = []
        self._watching = False

    def watch(self) -> None:
        """Watch from now on, until `rest`."""
        if not self._watching:
            self._watching = True
            self._controls.roots.guard = self.forward
            self._controls.steps.intervene(OUTERMOST, self)

    def rest(self) -> None:
        self._watching = False
        self._controls.roots.guard = None
        self._controls.steps.intervene(OUTERMOST, None)
        self._passing.clear()

    def update_ended(self) -> None:
        self._passing.clear()

    def _set(self) -> list[str]:
        return [name for name in self._suspects if name in self._controls.settings]

    # --- a forward --------------------------------------------------------------------------------------------------

    @passes_on
    def forward(self, root: Root, attempt: Callable[[], object]) -> object:
        """Run the forward; if it raises, retry without one setting after another to find the one at fault."""
        module = root.ref()
        suspects = self._set()
        if module is None or not suspects:
            return attempt()
        state = PassingState(module)
        self._passing.setdefault(id(module), state)
        try:
            return attempt()
        except Exception as error:
            if is_out_of_memory(error):
                raise  # a repeated forward needs as much memory, and other ranks would not repeat it
            # The failed forward's results would stay in memory with its frames.
            traceback.clear_frames(error.__traceback__)
            # Do not raise from in here: the script's own error must look as it would without us.
            first = error
        done, result = self._without(suspects, first, state, attempt)
        if done:
            return result
        state.put_back()
        return attempt()  # raises the script's own error, with all settings restored

    @passes_on
    def _without(
        self, suspects: list[str], error: Exception, state: PassingState, attempt: Callable[[], object]
    ) -> tuple[bool, object]:
        """Retry without each setting alone, then without all at once."""
        single = [(name,) for name in suspects]
        for names in [*single, tuple(suspects)] if len(suspects) > 1 else single:
            # One may have given itself up meanwhile.
            tried = [name for name in names if name in self._controls.settings]
            for name in tried:
                knobs.get(name).restore(self._controls)
            state.put_back()
            try:
                result = attempt()
            except Exception:
                for name in tried:
                    if name in self._controls.settings:
                        self._put_again(name)
                continue
            for name in tried:
                self._give_up(name, _one_line(error))
            return True, result
        return False, None

    # --- a non-finite loss ------------------------------------------------------------------------------------------

    @passes_on
    def backward(self, inner: Any, original: object, tensors: object, args: object, kwargs: object) -> object:
        """Run every backward while watching (see `Steps.intervene`)."""
        if self._set() and not _is_finite(tensors):
            self._poisoned = True
        result = inner(original, tensors, args, kwargs)
        if self._poisoned and self._controls.clock.inside(OPTIMIZER):
            for optimizer, _record, _main in self._controls.steps.optimizers():
                take_gradients(optimizer)  # the step has already begun, and would use them
        return result

    def before_step(self, optimizer: Optimizer, _has_closure: bool) -> bool:
        if not self._poisoned:
            return False
        self._kept += take_gradients(optimizer)
        return True

    def after_step(self, optimizer: Optimizer) -> bool:
        """Restore the gradients after a step without effect; it still ends its update."""
        for parameter, gradient in self._kept:
            parameter.grad = gradient
        self._kept = []
        if self._controls.steps.is_main(optimizer):
            self.heal()
        return True

    def heal(self) -> None:
        """Give up settings that may have made the loss non-finite, and undo the forward's writes to its buffers."""
        if not self._poisoned:
            return
        self._poisoned = False
        for state in self._passing.values():
            state.put_back_buffers()
        for name in self._set():
            self._give_up(name, "the loss was not a finite number; that update was skipped")

    # --- a batch ----------------------------------------------------------------------------------------------------

    def batch(self, error: Exception) -> bool:
        """Give up the loader's settings after a failed fetch, to repeat it as in the baseline; return False if none."""
        names = [name for name in self._of_the_loader if name in self._controls.settings]
        with self._controls.loaders.together():
            for name in names:
                self._give_up(name, f"a batch could not be fetched: {_one_line(error)}")
        return bool(names)


def _is_finite(tensors: Any) -> bool:
    """Return whether a scalar loss is finite. On an accelerator this waits for the device: first updates only."""
    first = tensors if hasattr(tensors, "detach") else tensors[0] if isinstance(tensors, (list, tuple)) else None
    if first is None or first.numel() != 1 or first.is_complex():
        return True
    return math.isfinite(first.item())


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
