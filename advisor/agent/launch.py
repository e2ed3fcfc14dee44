"""The real training, with settings that were found: nothing is measured, nothing is cut short, nobody is told.

The hooks are those that the settings need. Loader and precision are set when the first forward begins, before it runs;
what must know the make-up of an update comes after the first one. Whatever cannot be set stays as the script wrote it,
and that is said on stderr.
"""

from __future__ import annotations

import functools
import os
import sys
import traceback
from typing import Any, Callable

from .. import wire
from . import imports
from .bench import Bench
from .clock import StepClock, Update
from .loader import LoaderHooks
from .patches import Patches
from .precision import Precision
from .refused import Refused
from .roots import MAX_LEVELS, Root, Roots
from .steps import Steps

WATCHED_UPDATES = 5
"""A setting that fails in the first so many updates is given up, and the training goes on without it."""
SEARCH_UPDATES = 2 * MAX_LEVELS
"""Updates within which the model is sought where its calls were not seen."""


def prepare(spec: wire.LaunchSpec) -> Launch:
    """Called before the script's first line; the hooks go in once the script has imported torch."""
    launch = Launch(spec)
    if spec.config:
        imports.when_imported("torch", launch.torch_imported)
    return launch


class Launch:
    """One process of a real training."""

    def __init__(self, spec: wire.LaunchSpec) -> None:
        self._wanted = dict(spec.config)
        self._rank = int(os.environ.get("RANK", "0") or 0)
        self._clock = StepClock()
        self._patches = Patches()
        self._looks = 0
        self._given_up: dict[str, str] = {}

    # --- what the runner tells ----------------------------------------------------------------------------------------

    def finished(self, exit_code: int) -> None:
        """The script has ended: its exit code is passed on by the process itself."""
        if self._wanted and exit_code == 0:
            self._say(f"never applied, as no training was seen: {_words(self._wanted)}")

    def crashed(self, kind: type[BaseException], error: BaseException, trace: Any) -> None:
        """Python shows the traceback, as ever."""

    # --- set-up -------------------------------------------------------------------------------------------------------

    def torch_imported(self, torch: Any) -> None:
        clock = self._clock
        self._roots = Roots(clock)
        self._steps = Steps(clock)
        self._loaders = LoaderHooks(clock)
        self._precision = Precision(self._roots)
        self._bench = Bench(
            clock=clock, roots=self._roots, steps=self._steps, loaders=self._loaders, precision=self._precision
        )
        self._roots.on_training = self._training_forward
        self._roots.on_evaluation = self._loaders.saw_evaluation_forward
        self._steps.before_step = self._before_step
        self._steps.before_backward = self._before_backward
        clock.on_update = self._after_update
        self._steps.install()
        self._loaders.install()
        self._loaders.before_batch(self._precision.close)
        self._precision.fall_back_on_error(functools.partial(self._give_up, "precision"))
        self._patches.replace(torch.optim.Optimizer, "__init__", self._seeking)

    def _seeking(self, original: Callable[..., None]) -> Callable[..., None]:
        """The optimizer tells whose the model is, before its first forward."""

        @functools.wraps(original)
        def __init__(optimizer: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            original(optimizer, *args, **kwargs)
            self._guarded(lambda: self._look(_parameters_of(optimizer)))

        return __init__

    def _look(self, owned: set[int]) -> None:
        if owned and self._wanted:
            self._roots.seek(owned, owned)

    # --- in the loop --------------------------------------------------------------------------------------------------

    def _training_forward(self, _root: Root, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
        self._steps.forward_seen = True
        self._loaders.saw_training_forward()
        if self._wanted:
            self._guarded(self._apply_early)

    def _before_backward(self) -> None:
        self._precision.close()
        if not self._roots.training_forwards:
            self._loaders.saw_training_forward()  # the model's call is not seen yet; what was read is for it

    def _before_step(self) -> None:
        self._precision.close()
        if self._looks < SEARCH_UPDATES and not self._roots.settled():
            self._looks += 1
            self._guarded(self._look_further)

    def _look_further(self) -> None:
        owned = self._steps.owned_parameters()
        if not self._roots.descend(owned, owned):
            self._roots.seek(owned, owned)

    def _after_update(self, update: Update) -> None:
        updates = self._clock.updates
        if updates > WATCHED_UPDATES:
            return
        self._bench.micro_steps = update.micro_steps
        self._guarded(self._apply_rest)
        if self._loaders.late_refusal:
            for name in ("num_workers", "global_batch"):
                if name in self._bench.settings:
                    self._give_up(name, self._loaders.late_refusal)
        if updates == WATCHED_UPDATES:
            self._precision.fall_back_on_error(None)

    # --- settings -----------------------------------------------------------------------------------------------------

    def _apply_early(self) -> None:
        from .. import knobs

        for name in [name for name in self._wanted if not knobs.get(name).after_first_update]:
            self._apply(name, self._wanted.pop(name))

    def _apply_rest(self) -> None:
        for name in list(self._wanted):
            if name != "precision":  # that one needs the model's call to be seen
                self._apply(name, self._wanted.pop(name))

    def _apply(self, name: str, value: Any) -> None:
        from .. import knobs

        try:
            knobs.get(name).apply(self._bench, value)
            self._bench.settings[name] = value
        except Refused as refusal:
            self._give_up(name, str(refusal))
        except Exception as error:
            self._give_up(name, f"{type(error).__name__}: {error}")

    def _give_up(self, name: str, why: str) -> None:
        if name in self._given_up:
            return
        self._given_up[name] = why
        self._bench.settings.pop(name, None)
        self._say(f"{name} stays as the script has it: {' '.join(why.split())}")

    def _guarded(self, work: Callable[[], None]) -> None:
        """A fault of ours is told, and the training goes on."""
        try:
            self._clock.exclude(work)
        except Exception:
            self._wanted.clear()
            self._say(f"settings are left out after a fault of advisor's own:\n{traceback.format_exc()}")

    def _say(self, text: str) -> None:
        if self._rank == 0:
            say(text)


def say(text: str) -> None:
    """One line to the user, on stderr."""
    try:
        sys.stderr.write(f"advisor: {text}\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return


def _parameters_of(optimizer: Any) -> set[int]:
    return {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}


def _words(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())
