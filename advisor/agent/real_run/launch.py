"""Real training with the settings found: nothing is measured, cut short or reported to a controller.

Most settings are applied when the first forward begins, before it runs. Those that depend on an update's structure
follow after the first one. A setting that cannot be applied keeps the script's value, and stderr says so. Once the
first updates have shown that the settings hold, hooks that no setting needs are removed.
"""

from __future__ import annotations

import atexit
import functools
import sys
import traceback
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from ... import knobs, wire
from ...refused import Refused
from ..base import dynamo, forks, imports
from ..base.pass_through import stands_for
from ..base.patches import Patches
from ..base.tracebacks import is_out_of_memory
from ..loader.hooks import LoaderHooks
from ..loop.clock import StepClock, Update
from ..loop.roots import MAX_LEVELS, Root, Roots
from ..loop.schedulers import ScheduleHold
from ..loop.steps import Steps, all_optimizers, parameter_ids
from ..settings.controls import Controls
from ..settings.precision import Precision
from ..settings.ranks import Ranks
from ..settings.scaling import Scaler
from . import rank_start
from .fallback import FallBack, of_the_loader
from .run_log import RunLog, say, words

WATCHED_UPDATES = 5
"""Updates within which a failing setting is given up, and the training continues without it."""
SEARCH_UPDATES = 2 * MAX_LEVELS
"""Updates within which to search for a model whose calls were not seen."""
MOST_MODELS = 8
"""Maximum consecutive models in one process that the settings follow: a search takes 10 to 200 ms."""


def prepare(spec: wire.LaunchSpec) -> Launch:
    """Create the launch before the script's first line; hooks follow once it has imported torch."""
    ranks = Ranks(spec.rank, spec.ranks, spec.meeting, spec.why_alone, spec.joins_after)
    launch = Launch(spec.config, RunLog(spec.log), spec.updates, ranks)
    if spec.config:
        imports.when_imported("torch", launch.torch_imported)
    return launch


_installed: Launch | None = None


def install(config: Mapping[str, Any], log: str = "", updates: float | None = None) -> Launch:
    """Apply settings from inside a running script.

    `config` (knob → value) takes effect from the next update on, also for existing models, optimizers and loaders.
    `log` is the file that records a fallback, `updates` the length of the training.

    Raise Refused if settings were already installed in this process, and for one that no knob can have.
    """
    global _installed
    if _installed is not None:
        raise Refused("settings have already been applied in this process, and can be applied only once")
    _installed = launch = Launch(config, RunLog(log), updates)
    if config:
        imports.report_to(say)
        imports.when_imported("torch", launch.torch_imported)
        atexit.register(lambda: launch.finished(int(hasattr(sys, "last_type"))))
    return launch


class Launch:
    """Process of a real training."""

    def __init__(
        self, config: Mapping[str, Any], log: RunLog, updates: float | None = None, ranks: Ranks | None = None
    ) -> None:
        why = knobs.refusal(config)
        if why is not None:
            raise Refused(why)
        self._config = dict(config)
        self._wanted = dict(config)
        """Settings not applied yet."""
        self._log = log
        self._updates = updates
        self._ranks = ranks or Ranks()
        self._clock = StepClock()
        self._patches = Patches()
        self._optimizers: list[weakref.ref[Any]] = []
        self._searches = 0
        self._models = 0
        self._given_up: dict[str, str] = {}
        self._applied_at = 0
        self._settled = self._settling = False
        self._close: Callable[[], None] | None = None
        self._torch_seen = False
        self._counts_steps = False
        forks.watch(self)

    def forked(self) -> None:
        """Apply and say nothing in a child: calls there are not the training."""
        self._clock.forked()
        self._log.close()

    # --- events from the runner ---------------------------------------------------------------------------------------

    def finished(self, exit_code: int) -> None:
        """Print remarks after the script's end; the process itself passes on the exit code."""
        if self._clock.in_child:
            return
        self._ranks.close()
        never = {name: value for name, value in self._wanted.items() if name not in self._given_up}
        if never and exit_code == 0 and not self._clock.updates:
            self._log.report(
                "settings", f"not applied, as no training was seen in the script's own process: {words(never)}"
            )
        elif never and exit_code == 0:
            self._log.report("settings", f"not applied in {self._clock.updates} updates: {words(never)}")
        if self._torch_seen and self._precision.skipped_steps:
            self._log.say(
                f"fp16: {self._precision.skipped_steps} of {self._clock.updates} steps were skipped because of "
                "overflowing gradients"
            )
        if self._torch_seen and self._controls.accumulation.in_mid_epoch:
            self._log.say(
                "the script ended in the middle of an epoch: if it counts loop iterations, it trained less than "
                f"intended, as micro_batch makes several iterations of one update ({self._clock.updates} updates)"
            )

    def crashed(self, kind: type[BaseException], error: BaseException, _trace: object) -> None:
        """Print only settings that may be the cause; Python shows the traceback as usual."""
        self._ranks.crashed(error)
        settings = self._controls.settings if self._torch_seen else {}
        if not settings or not isinstance(error, Exception):
            return
        if self._controls.early_stop.has_ended:
            self._log.report(
                "settings", f"the script failed with {kind.__name__} after early stopping had ended its loader"
            )
        if self._settled:
            return
        what = "ran out of memory" if is_out_of_memory(error) else f"failed with {kind.__name__}"
        self._log.report(
            "settings",
            f"the script {what} {self._clock.updates - self._applied_at} updates after {words(settings)} took "
            "effect, where it could not continue without them. If it works without them, remove them from the "
            "configuration",
        )

    # --- set-up -------------------------------------------------------------------------------------------------------

    def torch_imported(self, torch: Any) -> None:
        clock = self._clock
        if clock.in_child:
            return
        self._roots = Roots(clock)
        self._steps = Steps(clock)
        self._loaders = LoaderHooks(clock, may_read_again=False)
        schedules = ScheduleHold()
        self._precision = Precision(self._roots, self._arm, Scaler(self._steps, schedules, self._cannot_scale))
        self._controls = Controls(clock, self._roots, self._steps, self._loaders, self._precision, schedules=schedules)
        self._controls.on_broken, self._controls.say = self._give_up, self._log.say
        self._controls.rates.begin(self._updates, self._log.say)
        self._controls.parallel.join(self._ranks, self._live_optimizers, self._log.say, tuple(self._config))
        self._fall_back = FallBack(self._controls, self._give_up, self._put_again)
        self._roots.on_training = self._training_forward
        self._roots.on_evaluation = self._loaders.saw_evaluation_forward
        self._install_steps()
        self._loaders.install()
        self._loaders.deliveries.on_failure = self._fall_back.batch
        self._patches.replace(torch.optim.Optimizer, "__init__", self._seeking)
        imports.when_imported("torch._dynamo.trace_rules", dynamo.hide)
        self._torch_seen = True
        self._find_optimizers()

    def _install_steps(self) -> None:
        if self._counts_steps:
            return
        self._counts_steps = True
        self._steps.install()
        self._steps.before_step = self._before_step
        self._steps.before_backward = self._before_backward
        self._clock.on_update = self._after_update

    def _find_optimizers(self) -> None:
        """Find optimizers created before us, if the script itself has called us."""
        if "torch.optim" not in sys.modules or _installed is not self:
            return
        self._optimizers = [weakref.ref(optimizer) for optimizer in all_optimizers()]
        self._guarded(self._search)

    def _seeking(self, original: Callable[..., None]) -> Callable[..., None]:
        """Wrap `Optimizer.__init__`: optimizers identify the model before its first forward."""

        @stands_for(original)
        def __init__(optimizer: object, *args: object, **kwargs: object) -> None:  # noqa: N807
            original(optimizer, *args, **kwargs)
            if self._clock.in_child:
                return
            self._optimizers.append(weakref.ref(optimizer))
            self._guarded(functools.partial(self._new_optimizer, optimizer))

        return __init__

    def _new_optimizer(self, optimizer: object) -> None:
        if self._settled or self._clock.updates:
            self._begin_again(optimizer)
        if self._wanted:
            self._search()

    def _live_optimizers(self) -> list[Any]:
        self._optimizers = [reference for reference in self._optimizers if reference() is not None]
        return [reference() for reference in self._optimizers]

    def _search(self) -> None:
        owned = {number for optimizer in self._live_optimizers() for number in parameter_ids(optimizer)}
        if owned:
            self._roots.seek(owned, owned)

    def _begin_again(self, optimizer: object) -> None:
        """Reapply the settings to a new model or optimizer in the same process."""
        known = self._roots.covers(parameter_ids(optimizer))
        renewed = [
            name
            for name in self._controls.settings
            if "optimizer" in knobs.get(name).set_on or (not known and "model" in knobs.get(name).set_on)
        ]
        if not renewed or self._models >= MOST_MODELS:
            return
        self._models += 1
        self._searches = 0
        if self._settled:
            self._settled = False
            self._install_steps()
            self._roots.resume()
        self._wanted.update({name: self._config[name] for name in renewed})

    # --- in the loop --------------------------------------------------------------------------------------------------

    def _training_forward(self, root: Root, _args: tuple[object, ...], _kwargs: dict[str, object]) -> None:
        self._steps.forward_seen = True
        self._loaders.saw_training_forward()
        if self._wanted:
            self._guarded(self._apply_early)
        self._controls.parallel.saw_training_forward(root)

    def _arm(self, close: Callable[[], None] | None) -> None:
        """Register the callback that closes autocast while precision is set."""
        self._close = close
        self._loaders.deliveries.before_batch = close

    def _before_backward(self) -> None:
        if self._close is not None:
            self._close()
        if not self._roots.training_forwards:
            self._loaders.saw_training_forward()  # the model's call was not seen yet; the batch was read for it
        if self._settling:
            self._guarded(self._settle)

    def _before_step(self) -> None:
        if self._close is not None:
            self._close()
        if self._wanted and not self._clock.updates:
            self._guarded(self._apply_to_optimizers)
        if self._searches < SEARCH_UPDATES and self._wanted and not self._roots.settled():
            self._searches += 1
            self._guarded(self._search_further)

    def _search_further(self) -> None:
        owned = self._steps.owned_parameters()
        if not self._roots.descend(owned, owned):
            self._roots.seek(owned, owned)

    def _after_update(self, update: Update) -> None:
        self._guarded(functools.partial(rank_start.update_ended, self._controls, self._config))
        if self._settled or self._settling:
            return
        self._controls.saw_update(update.micro_steps)
        self._guarded(self._watched_update)

    def _watched_update(self) -> None:
        self._fall_back.heal()
        self._fall_back.update_ended()
        if self._loaders.deliveries.late_refusal:
            self._give_up_all(of_the_loader(), self._loaders.deliveries.late_refusal)
        if self._wanted:
            self._apply_rest()
        if not self._wanted and self._clock.updates - self._applied_at >= WATCHED_UPDATES:
            self._settling = True  # not here: torch is iterating over its list of hooks

    def _settle(self) -> None:
        """Remove hooks that no setting needs, once the settings hold."""
        self._settling, self._settled = False, True
        self._fall_back.rest()
        needed = {hook for name, value in self._controls.settings.items() for hook in knobs.get(name).hooks_for(value)}
        if "steps" not in needed:
            self._steps.remove()
            self._counts_steps = False
        if "model" not in needed:
            self._roots.suspend()
        if "loader" not in needed:
            self._loaders.close()
        if not any(knobs.get(name).set_on for name in self._controls.settings):
            self._patches.restore()
            self._controls.rates.first.remove()

    # --- settings -----------------------------------------------------------------------------------------------------

    def _apply_early(self) -> None:
        self._apply([n for n in rank_start.ready(self._wanted, self._controls) if not knobs.get(n).after_first_update])

    def _apply_to_optimizers(self) -> None:
        """Apply what concerns optimizers only before their first step: a library may hide the model's first calls."""
        knobs_wanted = [knobs.get(name) for name in self._wanted]
        self._apply([k.id for k in knobs_wanted if k.set_on == ("optimizer",) and not k.after_first_update])

    def _apply_rest(self) -> None:
        """Apply settings that waited for the first update; those that wait for a model's call wait a while longer."""
        waiting = [name for name in self._wanted if "forward" in knobs.get(name).set_on]
        self._apply([name for name in rank_start.ready(self._wanted, self._controls) if name not in waiting])
        if self._clock.updates > SEARCH_UPDATES:
            for name in waiting:
                self._give_up(name, "no call of a trained model was seen")

    def _apply(self, names: list[str]) -> None:
        if not names:
            return
        values = {name: self._wanted.pop(name) for name in names}
        values = {name: value for name, value in values.items() if name not in self._given_up}
        loading = {name: values.pop(name) for name in of_the_loader() if name in values}
        if loading:
            self._apply_loading(loading)
        for name, value in values.items():
            self._apply_one(name, value)
        self._controls.compiling.beside(self._controls.settings)
        self._applied_at = self._clock.updates
        self._fall_back.watch()

    def _apply_loading(self, values: dict[str, object]) -> None:
        """Apply settings together: each switch restarts the workers, and one setting may need another."""
        try:
            with self._loaders.together():
                for name, value in values.items():
                    self._controls.settings[name] = value
                    knobs.get(name).apply(self._controls, value)
            return
        except Refused:
            with self._loaders.together():
                for name in values:
                    self._controls.settings.pop(name, None)
                    knobs.get(name).restore(self._controls)
        for name, value in values.items():  # one by one, to apply those that can be
            self._apply_one(name, value)

    def _apply_one(self, name: str, value: Any) -> None:
        try:
            self._controls.settings[name] = value
            knobs.get(name).apply(self._controls, value)
        except Refused as refusal:
            self._give_up(name, str(refusal))
        except Exception as error:
            self._give_up(name, f"{type(error).__name__}: {error}")

    def _put_again(self, name: str) -> None:
        """Reapply a setting that was removed briefly and not at fault."""
        self._apply_one(name, self._controls.settings[name])

    def _give_up_all(self, names: Sequence[str], why: str) -> None:
        with self._loaders.together():
            for name in names:
                if name in self._controls.settings:
                    self._give_up(name, why)

    def _give_up(self, name: str, why: str) -> None:
        value = self._controls.settings.pop(name, self._config.get(name))
        self._wanted.pop(name, None)
        if name in self._given_up:
            return
        self._given_up[name] = why
        try:
            knobs.get(name).restore(self._controls)
        except Refused as refusal:
            why = f"{why} (and {refusal})"
        self._controls.compiling.beside(self._controls.settings)
        self._log.report(name, f"{name} keeps the script's value: {' '.join(why.split())}", value)

    def _cannot_scale(self, why: str) -> None:
        self._give_up(self._precision.setting, why)

    def _guarded(self, work: Callable[[], None]) -> None:
        """Run our own work; report its faults, and continue the training."""
        try:
            self._clock.exclude(functools.partial(dynamo.without_dynamo, work))
        except Exception:
            self._wanted.clear()
            self._log.say(f"settings are not applied because of an error in advisor:\n{traceback.format_exc()}")
