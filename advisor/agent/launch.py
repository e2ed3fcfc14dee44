"""The real training, with settings that were found: nothing is measured, nothing is cut short, nobody is told.

What can be is set when the first forward begins, before it runs; what must know the make-up of an update comes after
the first one. Whatever cannot be set stays as the script wrote it, and that is said on stderr. Once the first updates
have shown that the settings hold, the hooks go that no setting needs.
"""

from __future__ import annotations

import atexit
import functools
import gc
import sys
import traceback
import weakref
from collections.abc import Mapping
from typing import Any, Callable

from .. import wire
from . import dynamo, forks, imports
from .bench import Bench
from .clock import StepClock, Update
from .fallback import OF_THE_LOADER, FallBack
from .loader import LoaderHooks
from .pass_through import passes_on
from .patches import Patches
from .precision import Precision
from .refused import Refused
from .roots import MAX_LEVELS, Root, Roots
from .run_log import RunLog, say
from .scaling import Scaler
from .schedulers import ScheduleHold
from .steps import Steps
from .tracebacks import is_out_of_memory

WATCHED_UPDATES = 5
"""A setting that fails in the first so many updates is given up, and the training goes on without it."""
SEARCH_UPDATES = 2 * MAX_LEVELS
"""Updates within which the model is sought where its calls were not seen."""
MOST_MODELS = 8
"""Models in one process, one after the other, that the settings follow: to look for one takes 10 to 200 ms."""


def prepare(spec: wire.LaunchSpec) -> Launch:
    """Called before the script's first line; the hooks go in once the script has imported torch."""
    launch = Launch(spec.config, RunLog(spec.log))
    if spec.config:
        imports.when_imported("torch", launch.torch_imported)
    return launch


_installed: Launch | None = None


def install(config: Mapping[str, Any], log: str = "") -> Launch:
    """The same from inside a running script: `config` (knob → value) holds from the next update on, for models,
    optimizers and loaders that are there already, too. `log` is the file that a fallback is recorded in.

    Raises Refused where settings were installed before in this process.
    """
    global _installed
    if _installed is not None:
        raise Refused("settings were applied in this process already, and can be applied once")
    _installed = launch = Launch(config, RunLog(log))
    if config:
        imports.report_to(say)
        imports.when_imported("torch", launch.torch_imported)
        atexit.register(lambda: launch.finished(int(hasattr(sys, "last_type"))))
    return launch


class Launch:
    """One process of a real training."""

    def __init__(self, config: Mapping[str, Any], log: RunLog) -> None:
        self._config = dict(config)
        self._wanted = dict(config)
        """Not set yet."""
        self._log = log
        self._clock = StepClock()
        self._patches = Patches()
        self._optimizers: list[weakref.ref[Any]] = []
        self._looks = 0
        self._models = 0
        self._given_up: dict[str, str] = {}
        self._applied_at = 0
        self._settled = self._settling = False
        self._close: Callable[[], None] | None = None
        self._torch_seen = False
        self._counts_steps = False
        forks.watch(self)

    def forked(self) -> None:
        """In a child nothing is set and nothing is said: what is called there is not the training."""
        self._clock.forked()
        self._log.close()

    # --- what the runner tells ----------------------------------------------------------------------------------------

    def finished(self, exit_code: int) -> None:
        """The script has ended: its exit code is passed on by the process itself."""
        if self._clock.in_child:
            return
        never = {name: value for name, value in self._wanted.items() if name not in self._given_up}
        if never and exit_code == 0 and not self._clock.updates:
            self._log.tell(
                "settings", f"never applied, as no training was seen in the script's own process: {_words(never)}"
            )
        elif never and exit_code == 0:
            self._log.tell("settings", f"never applied in {self._clock.updates} updates: {_words(never)}")
        if self._torch_seen and self._precision.skipped_steps:
            self._log.say(
                f"fp16: {self._precision.skipped_steps} of {self._clock.updates} steps were skipped, as a gradient had "
                "overflown"
            )
        if self._torch_seen and self._bench.accumulation.in_mid_epoch:
            self._log.say(
                "the script has ended in the midst of an epoch: if it counts the rounds of its loop, it has trained "
                "less than it would have, as micro_batch makes several rounds of an update "
                f"({self._clock.updates} updates here)"
            )

    def crashed(self, kind: type[BaseException], error: BaseException, _trace: Any) -> None:
        """Python shows the traceback, as ever; here only what may have to do with it is said."""
        settings = self._bench.settings if self._torch_seen else {}
        if not settings or self._settled or not isinstance(error, Exception):
            return
        what = "ran out of memory" if is_out_of_memory(error) else f"failed with {kind.__name__}"
        self._log.tell(
            "settings",
            f"the script {what} {self._clock.updates - self._applied_at} updates after {_words(settings)} came into "
            "use, at a point where it could not go on without. If it runs alone, take them out of the configuration",
        )

    # --- set-up -------------------------------------------------------------------------------------------------------

    def torch_imported(self, torch: Any) -> None:
        clock = self._clock
        if clock.in_child:
            return
        self._roots = Roots(clock)
        self._steps = Steps(clock)
        self._loaders = LoaderHooks(clock, may_read_again=False)
        scaler = Scaler(self._steps, ScheduleHold(), self._cannot_scale)
        self._precision = Precision(self._roots, self._arm, scaler)
        self._bench = Bench(
            clock=clock, roots=self._roots, steps=self._steps, loaders=self._loaders, precision=self._precision
        )
        self._bench.on_broken = self._give_up
        self._fall_back = FallBack(self._bench, self._give_up, self._put_again)
        self._roots.on_training = self._training_forward
        self._roots.on_evaluation = self._loaders.saw_evaluation_forward
        self._install_steps()
        self._loaders.install()
        self._loaders.on_failure(self._fall_back.batch)
        self._patches.replace(torch.optim.Optimizer, "__init__", self._seeking)
        imports.when_imported("torch._dynamo.trace_rules", dynamo.hide)
        self._torch_seen = True
        self._find_optimizers(torch)

    def _install_steps(self) -> None:
        if self._counts_steps:
            return
        self._counts_steps = True
        self._steps.install()
        self._steps.before_step = self._before_step
        self._steps.before_backward = self._before_backward
        self._clock.on_update = self._after_update

    def _find_optimizers(self, torch: Any) -> None:
        """Those made before us, where the script has called us itself."""
        if "torch.optim" not in sys.modules or _installed is not self:
            return
        found = [item for item in gc.get_objects() if issubclass(type(item), torch.optim.Optimizer)]
        self._optimizers = [weakref.ref(optimizer) for optimizer in found]
        self._guarded(self._look)

    def _seeking(self, original: Callable[..., None]) -> Callable[..., None]:
        """The optimizer tells whose the model is, before its first forward."""

        @passes_on
        @functools.wraps(original)
        def __init__(optimizer: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            original(optimizer, *args, **kwargs)
            if self._clock.in_child:
                return
            self._optimizers.append(weakref.ref(optimizer))
            self._guarded(functools.partial(self._new_optimizer, optimizer))

        return __init__

    def _new_optimizer(self, optimizer: Any) -> None:
        if self._settled or self._clock.updates:
            self._begin_again(optimizer)
        if self._wanted:
            self._look()

    def _look(self) -> None:
        self._optimizers = [reference for reference in self._optimizers if reference() is not None]
        owned = {number for reference in self._optimizers for number in _parameters_of(reference())}
        if owned:
            self._roots.seek(owned, owned)

    def _begin_again(self, optimizer: Any) -> None:
        """Another model, or another optimizer, in the same process: what is set on such an object is set on this one,
        too."""
        from .. import knobs

        known = self._roots.covers(_parameters_of(optimizer))
        renewed = [
            name
            for name in self._bench.settings
            if "optimizer" in knobs.get(name).set_on or (not known and "model" in knobs.get(name).set_on)
        ]
        if not renewed or self._models >= MOST_MODELS:
            return
        self._models += 1
        self._looks = 0
        if self._settled:
            self._settled = False
            self._install_steps()
            self._roots.resume()
        self._wanted.update({name: self._config[name] for name in renewed})

    # --- in the loop --------------------------------------------------------------------------------------------------

    def _training_forward(self, _root: Root, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
        self._steps.forward_seen = True
        self._loaders.saw_training_forward()
        if self._wanted:
            self._guarded(self._apply_early)

    def _arm(self, close: Callable[[], None] | None) -> None:
        """Where precision must close its autocast while it is set."""
        self._close = close
        self._loaders.before_batch(close)

    def _before_backward(self) -> None:
        if self._close is not None:
            self._close()
        if not self._roots.training_forwards:
            self._loaders.saw_training_forward()  # the model's call is not seen yet; what was read is for it
        if self._settling:
            self._guarded(self._settle)

    def _before_step(self) -> None:
        if self._close is not None:
            self._close()
        if self._looks < SEARCH_UPDATES and self._wanted and not self._roots.settled():
            self._looks += 1
            self._guarded(self._look_further)

    def _look_further(self) -> None:
        owned = self._steps.owned_parameters()
        if not self._roots.descend(owned, owned):
            self._roots.seek(owned, owned)

    def _after_update(self, update: Update) -> None:
        if self._settled or self._settling:
            return
        self._bench.saw_update(update.micro_steps)
        self._guarded(self._watched_update)

    def _watched_update(self) -> None:
        self._fall_back.heal()
        self._fall_back.update_ended()
        if self._loaders.late_refusal:
            self._give_up_all(OF_THE_LOADER, self._loaders.late_refusal)
        if self._wanted:
            self._apply_rest()
        if not self._wanted and self._clock.updates - self._applied_at >= WATCHED_UPDATES:
            self._settling = True  # not here: torch goes through its list of hooks just now

    def _settle(self) -> None:
        """The settings hold: what none of them needs goes."""
        from .. import knobs

        self._settling, self._settled = False, True
        self._fall_back.rest()
        needed = {hook for name in self._bench.settings for hook in knobs.get(name).hooks}
        if "steps" not in needed:
            self._steps.remove()
            self._counts_steps = False
        if "model" not in needed:
            self._roots.suspend()
        if "loader" not in needed:
            self._loaders.close()
        if not any(knobs.get(name).set_on for name in self._bench.settings):
            self._patches.restore()

    # --- settings -----------------------------------------------------------------------------------------------------

    def _apply_early(self) -> None:
        from .. import knobs

        self._apply([name for name in self._wanted if not knobs.get(name).after_first_update])

    def _apply_rest(self) -> None:
        """What has waited for the first update; what waits for a call of the model goes on waiting for a while."""
        from .. import knobs

        waiting = [name for name in self._wanted if "forward" in knobs.get(name).set_on]
        self._apply([name for name in self._wanted if name not in waiting])
        if self._clock.updates > SEARCH_UPDATES:
            for name in waiting:
                self._give_up(name, "no call of a model that is trained was seen")

    def _apply(self, names: list[str]) -> None:
        if not names:
            return
        values = {name: self._wanted.pop(name) for name in names}
        values = {name: value for name, value in values.items() if name not in self._given_up}
        loading = {name: values.pop(name) for name in OF_THE_LOADER if name in values}
        if loading:
            self._apply_loading(loading)
        for name, value in values.items():
            self._apply_one(name, value)
        self._bench.compiling.beside(self._bench.settings)
        self._applied_at = self._clock.updates
        self._fall_back.watch()

    def _apply_loading(self, values: dict[str, Any]) -> None:
        """Together: each switch starts the workers anew, and one setting may need the other."""
        from .. import knobs

        try:
            with self._loaders.together():
                for name, value in values.items():
                    self._bench.settings[name] = value
                    knobs.get(name).apply(self._bench, value)
            return
        except Refused:
            with self._loaders.together():
                for name in values:
                    self._bench.settings.pop(name, None)
                    knobs.get(name).restore(self._bench)
        for name, value in values.items():  # one by one: those that can be set are
            self._apply_one(name, value)

    def _apply_one(self, name: str, value: Any) -> None:
        from .. import knobs

        try:
            self._bench.settings[name] = value
            knobs.get(name).apply(self._bench, value)
        except Refused as refusal:
            self._give_up(name, str(refusal))
        except Exception as error:
            self._give_up(name, f"{type(error).__name__}: {error}")

    def _put_again(self, name: str) -> None:
        """It was taken away for a moment, and was not at fault."""
        self._apply_one(name, self._bench.settings[name])

    def _give_up_all(self, names: tuple[str, ...], why: str) -> None:
        with self._loaders.together():
            for name in names:
                if name in self._bench.settings:
                    self._give_up(name, why)

    def _give_up(self, name: str, why: str) -> None:
        from .. import knobs

        value = self._bench.settings.pop(name, self._config.get(name))
        self._wanted.pop(name, None)
        if name in self._given_up:
            return
        self._given_up[name] = why
        try:
            knobs.get(name).restore(self._bench)
        except Refused as refusal:
            why = f"{why} (and {refusal})"
        self._bench.compiling.beside(self._bench.settings)
        self._log.tell(name, f"{name} stays as the script has it: {' '.join(why.split())}", value)

    def _cannot_scale(self, why: str) -> None:
        self._give_up("precision", why)

    def _guarded(self, work: Callable[[], None]) -> None:
        """A fault of ours is told, and the training goes on."""
        try:
            self._clock.exclude(functools.partial(dynamo.left_out, work))
        except Exception:
            self._wanted.clear()
            self._log.say(f"settings are left out after a fault of advisor's own:\n{traceback.format_exc()}")


def _parameters_of(optimizer: Any) -> set[int]:
    if optimizer is None:
        return set()
    return {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}


def _words(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())
