"""What a real training does where a setting fails in its first updates: the setting goes, the training stays.

Only what can be repeated is repeated: a forward before its backward, a batch that was not delivered. A loss that is no
number is kept from the parameters. What fails within a backward pass or a step cannot be taken back: that error is the
script's to meet, with a line that says what was set.
"""

from __future__ import annotations

import math
import traceback
from typing import Any, Callable

from .bench import Bench
from .clock import OPTIMIZER
from .pass_through import passes_on
from .passing import PassingState
from .roots import Root
from .tracebacks import is_out_of_memory

OF_THE_LOADER = (
    "num_workers",
    "prefetch_factor",
    "pin_memory",
    "persistent_workers",
    "cache_dataset",
    "global_batch",
    "micro_batch",
)
"""Settings that a batch which cannot be fetched is charged with, and a forward is not: its batch is there already."""
SUSPECTS = ("precision", "memory_format", "activation_checkpointing", "cudnn_benchmark", "fused_optimizer", "compile")
"""Settings that a failing forward, or a loss that is no number, is charged with, the likeliest first."""
OUTERMOST = 0
"""Place among what stands around a backward: the loss is looked at as the script made it."""

GiveUp = Callable[[str, str], None]
"""(setting, why): take it back, say so, and never set it again."""


class FallBack:
    """Watches for some updates; afterwards the loader alone is watched, which costs nothing."""

    def __init__(self, bench: Bench, give_up: GiveUp, put_again: Callable[[str], None]) -> None:
        self._bench = bench
        self._give_up = give_up
        self._put_again = put_again
        self._passing: dict[int, PassingState] = {}
        self._poisoned = False
        self._kept: list[tuple[Any, Any]] = []
        self._watching = False

    def watch(self) -> None:
        """From now on, until `rest`."""
        if not self._watching:
            self._watching = True
            self._bench.roots.guard = self.forward
            self._bench.steps.intervene(OUTERMOST, self)

    def rest(self) -> None:
        self._watching = False
        self._bench.roots.guard = None
        self._bench.steps.intervene(OUTERMOST, None)
        self._passing.clear()

    def update_ended(self) -> None:
        self._passing.clear()

    def _set(self) -> list[str]:
        return [name for name in SUSPECTS if name in self._bench.settings]

    # --- a forward --------------------------------------------------------------------------------------------------

    @passes_on
    def forward(self, root: Root, attempt: Callable[[], Any]) -> Any:
        """Run it; where it raises, without one setting after the other, until it is known which it cannot take."""
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
                raise  # a forward that is run again needs as much, and other ranks would not run it again
            # What the failed forward has computed would stay in memory with its frames.
            traceback.clear_frames(error.__traceback__)
            # Not raised from in here: where it is the script's own, it must look as it would look alone.
            first = error
        done, result = self._without(suspects, first, state, attempt)
        if done:
            return result
        state.put_back()
        return attempt()  # raises the script's own error, with all settings as they were

    @passes_on
    def _without(
        self, suspects: list[str], error: Exception, state: PassingState, attempt: Callable[[], Any]
    ) -> tuple[bool, Any]:
        """Each by itself, so that the others stay; then all at once."""
        from .. import knobs

        single = [(name,) for name in suspects]
        for names in [*single, tuple(suspects)] if len(suspects) > 1 else single:
            taken = [name for name in names if name in self._bench.settings]  # one may have given itself up meanwhile
            for name in taken:
                knobs.get(name).restore(self._bench)
            state.put_back()
            try:
                result = attempt()
            except Exception:
                for name in taken:
                    if name in self._bench.settings:
                        self._put_again(name)
                continue
            for name in taken:
                self._give_up(name, _one_line(error))
            return True, result
        return False, None

    # --- a loss that is no number -----------------------------------------------------------------------------------

    @passes_on
    def backward(self, inner: Any, original: Any, tensors: Any, args: Any, kwargs: Any) -> Any:
        """Around every backward while it is watched (see `Steps.intervene`)."""
        if self._set() and not _is_finite(tensors):
            self._poisoned = True
        result = inner(original, tensors, args, kwargs)
        if self._poisoned and self._bench.clock.inside(OPTIMIZER):
            for optimizer, _record, _main in self._bench.steps.optimizers():
                self._hide_gradients(optimizer, keep=False)  # the step has begun already, and would use them
        return result

    def before_step(self, optimizer: Any, _has_closure: bool) -> bool:
        if not self._poisoned:
            return False
        self._hide_gradients(optimizer, keep=True)
        return True

    def after_step(self, optimizer: Any) -> bool:
        """The step has changed nothing; it ends its update all the same."""
        for parameter, gradient in self._kept:
            parameter.grad = gradient
        self._kept = []
        if self._bench.steps.is_main(optimizer):
            self.heal()
        return True

    def heal(self) -> None:
        """Take back what may have made the loss no number, and what the forward has written into its buffers."""
        if not self._poisoned:
            return
        self._poisoned = False
        for state in self._passing.values():
            state.put_back_buffers()
        for name in self._set():
            self._give_up(name, "the loss was no number with it; that update was left out")

    def _hide_gradients(self, optimizer: Any, keep: bool) -> None:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    if keep:
                        self._kept.append((parameter, parameter.grad))
                    parameter.grad = None

    # --- a batch ----------------------------------------------------------------------------------------------------

    def batch(self, error: Exception) -> bool:
        """A batch could not be fetched under the loader's settings: as written, it is fetched again. False where there
        are none."""
        names = [name for name in OF_THE_LOADER if name in self._bench.settings]
        with self._bench.loaders.together():
            for name in names:
                self._give_up(name, f"a batch could not be fetched: {_one_line(error)}")
        return bool(names)


def _is_finite(tensors: Any) -> bool:
    """Of the loss, where it is one number. On an accelerator this waits for the device: for the first updates only."""
    first = tensors if hasattr(tensors, "detach") else tensors[0] if isinstance(tensors, (list, tuple)) else None
    if first is None or first.numel() != 1 or first.is_complex():
        return True
    return math.isfinite(first.item())


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
