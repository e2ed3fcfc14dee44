"""Assembly of the agent in the script's process; torch is not touched before the script has imported it."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import sys
import time
import traceback
from types import ModuleType, TracebackType
from typing import Callable

from ... import wire
from ..base import child_signals, dynamo, forks, imports
from ..base.channel import AgentChannel
from ..loop.clock import FORWARD, OPTIMIZER, StepClock, Update
from ..loop.root_search import RootSearch
from ..loop.roots import Root, Roots
from ..loop.sample_count import SampleCounter
from ..loop.steps import Steps
from ..observe.arguments import ArgumentWatch
from ..observe.cpu_limits import CpuLimitWatch
from ..observe.memory import memory_in_use
from ..observe.printed_metric import PrintedMetric
from ..observe.rank_facts import rank_facts
from ..settings.accumulation import CHECKED_BATCHES
from ..settings.controls import Controls
from ..settings.untrained import part_facts
from . import beat
from .conductors import conductor_for
from .instruments import Instruments
from .ranks import world_size
from .ready import ready
from .so_far import SoFar
from .together import Together
from .window_length import FIRST_UPDATES

DEVICE_SOUGHT_UPDATES = 6
"""Updates after which a script that has used no accelerator counts as training without."""
EARLY_FACTS_UPDATES = (4, 8, 16, 32, FIRST_UPDATES)
"""Updates, with models and batches present, at which to collect facts until complete. A script may end, or restart its
training, within its first window."""
COMPLETE = 2
"""Models and optimizers are both reported."""
CACHE_FILL_S = 3.0
"""Seconds beside the window's time: a cache shows nothing before it holds the window's reads."""
WORKER_ENDS_S = 0.2
FLUSH_S = 5.0


def prepare(spec: wire.LaunchSpec, channel: AgentChannel) -> ScriptAgent:
    """Create the agent before the script's first line."""
    agent = ScriptAgent(spec, channel)
    if spec.mode == "probe":
        agent.arguments.install()
        agent.cpu_limits.install()
    imports.when_imported("torch", agent.torch_imported)
    if spec.mode == "probe":
        beat.start(agent)
    return agent


class ScriptAgent:
    """Agent of one rank, which owns the clock and the hooks and handles the end of this process."""

    def __init__(self, spec: wire.LaunchSpec, channel: AgentChannel) -> None:
        self.spec = spec
        self.channel = channel
        self.origin_s = time.perf_counter()
        self.ranks = world_size(spec)
        self.rank = channel.rank
        self._ended = False
        self._first_update_s: float | None = None
        self._facts_sent: list[str] | None = None
        """Roles of the loaders in the facts of the latest window; None before the first window's end."""
        self._prolonged = False
        self._parts_sent = 0
        self.clock = StepClock()
        forks.watch(self)
        self.arguments = ArgumentWatch()
        self.cpu_limits = CpuLimitWatch()
        self._parts: _Parts | None = None
        self.metric = PrintedMetric.reading(self.clock, spec.metric)

    # --- set-up -------------------------------------------------------------------------------------------------------

    def torch_imported(self, torch: ModuleType) -> None:
        """Set up the hooks right after the script's `import torch`."""
        if self.spec.mode != "probe" or self.clock.in_child:
            return
        # torch has just created half a million objects: the script must pay for the full collection now due (40 ms).
        collecting = gc.isenabled()
        gc.disable()
        try:
            self._parts = _Parts(self, torch)
            self.channel.send(ready(self.rank, torch))
        finally:
            if collecting:
                gc.enable()

    @property
    def ended(self) -> bool:
        return self._ended

    def before_beat(self) -> None:
        if self._parts is not None and self._parts.controls.compiling.watch.at_work():
            self.clock.events += 1  # a one-minute compilation is not hung

    def look_so_far(self) -> None:
        if self._parts is not None:
            self._parts.so_far.look()

    def forked(self) -> None:
        """Disable the agent in a child: it does not train, and neither it nor its end is reported."""
        self._ended = True
        self.clock.forked()

    # --- the end ------------------------------------------------------------------------------------------------------

    def finished(self, exit_code: int) -> None:
        """Report that the script ended on its own."""
        with child_signals.held():
            self._last_words("finished", "the script ended", exit_code)

    def crashed(self, _kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
        """Report the end after an exception that was already reported."""
        if self._ended:
            return
        if self._parts is not None and isinstance(error, (OSError, EOFError, RuntimeError)):
            for line in self._parts.loaders.killed_workers(WORKER_ENDS_S):
                self.channel.send(wire.Note(self.rank, "worker", line))
        self._last_words("crashed", "the script crashed", 1)

    def leave(self, reason: str) -> None:
        """End this process at once: no `except`, `finally` or atexit code runs on a half-trained model."""
        self._say_goodbye(reason, 0)
        _flush_streams()
        self.channel.flush(FLUSH_S)
        os._exit(0)

    def _last_words(self, reason: str, why: str, exit_code: int) -> None:
        if self._ended or self.spec.mode != "probe":
            return
        if self._parts is not None:
            self._parts.conductor.script_ends(why)
        self._say_goodbye(reason, exit_code)
        self.channel.flush(FLUSH_S)

    def _say_goodbye(self, reason: str, exit_code: int) -> None:
        self._ended = True
        self.send_facts()
        self.channel.send(
            wire.Goodbye(
                rank=self.rank,
                reason=reason,
                updates=self.clock.updates,
                exit_code=exit_code,
                first_update_s=self._first_update_s,
            )
        )

    # --- between updates ----------------------------------------------------------------------------------------------

    def after_update(self, update: Update) -> None:
        """Look at the first updates, and then at the conductor's, outside all phases."""
        parts = self._parts
        assert parts is not None
        parts.controls.saw_update(update.micro_steps)
        dynamo.without_dynamo(functools.partial(parts.look_at_learning, update))
        parts.together.update_ended()
        if self.clock.updates <= EARLY_FACTS_UPDATES[-1]:
            dynamo.without_dynamo(functools.partial(self._early, parts, update))

    def _early(self, parts: _Parts, update: Update) -> None:
        if self._first_update_s is None:
            # The update itself is not startup; the time before its first batch is.
            in_step_s = sum(update.phases_ns[FORWARD : OPTIMIZER + 1]) / 1e9
            self._first_update_s = time.perf_counter() - self.origin_s - in_step_s
            parts.first_update_ended()
        if self.clock.updates in EARLY_FACTS_UPDATES and self._parts_sent < COMPLETE:
            self.send_facts()

    def send_facts(self) -> None:
        """Send the description of the script; a failure is reported and harms nothing."""
        if self._parts is None or not self.clock.updates:
            return
        try:
            facts = self._parts.facts(self.rank)
            # After the script's end, its model may be gone with the function that made it: keep the earlier facts.
            known = bool(facts.workload["models"]) + bool(facts.workload["optimizers"])
            if known >= self._parts_sent:
                self._parts_sent = known
                self.channel.send(facts)
        except Exception:
            self.channel.send(wire.Note(self.rank, "agent_error", traceback.format_exc()))

    def remark(self, text: str) -> None:
        """Send what the user reads as it arrives."""
        self.channel.send(wire.Note(self.rank, wire.REMARK, text))

    def epoch_prolonged(self, batches: int) -> None:
        """Report it once: a script that counts its batches may not cope with it."""
        if not self._prolonged:
            self._prolonged = True
            self.channel.send(wire.Note(self.rank, wire.PROLONGED, f"an epoch continued past its {batches} batches"))

    def window_reported(self, _window: wire.Window) -> None:
        assert self._parts is not None
        self._parts.learning.scan()
        roles = self._parts.loader_roles()
        if self._facts_sent != roles and not self._parts.controls.settings:  # an evaluation's loader may be seen late
            self._facts_sent = roles
            self.send_facts()


class _Parts:
    """Components that need torch, wired up once."""

    def __init__(self, agent: ScriptAgent, torch: object) -> None:
        from ..loader.hooks import LoaderHooks
        from ..loop.copies import HostToDevice
        from ..loop.off_step import OffStep
        from ..loop.schedulers import ScheduleHold, hold_overruns
        from ..observe.device_trace import DeviceTrace
        from ..observe.facts import FactsCollector
        from ..observe.garbage import GarbageTimer
        from ..observe.learning import LearningWatch
        from ..observe.sampler import Sampler
        from ..observe.tracing import Tracing
        from ..settings.precision import Precision
        from ..settings.scaling import Scaler

        clock = agent.clock
        self._close: Callable[[], None] | None = None
        self._clock = clock
        self._agent = agent
        self.roots = Roots(clock)
        self.steps = Steps(clock)
        self.loaders = LoaderHooks(clock)
        self._register = self.loaders.register
        self._counter = SampleCounter(clock)
        self._search = RootSearch(clock, self.roots, self.steps)
        schedules = ScheduleHold()
        scaler = Scaler(self.steps, schedules, self._cannot_scale)
        self.precision = Precision(self.roots, self._arm, scaler)
        self.controls = Controls(clock, self.roots, self.steps, self.loaders, self.precision, schedules=schedules)
        self.controls.rates.begin(agent.spec.updates, agent.remark)
        self.controls.accumulation.checks = CHECKED_BATCHES
        self.loaders.deliveries.on_late_refusal = self._loader_broke
        self.loaders.deliveries.on_prolonged = agent.epoch_prolonged
        self.loaders.fill_caches(CACHE_FILL_S)
        facts = self._facts = FactsCollector(clock)
        self._copies = HostToDevice(clock)
        self.learning = LearningWatch(self.controls)
        off_step = OffStep(clock)
        garbage = GarbageTimer(clock)
        garbage.install()
        self._instruments = Instruments(
            self.controls,
            sampler=Sampler(clock),
            garbage=garbage,
            off_step=off_step,
            tracing=Tracing(self.controls),
            device_trace=DeviceTrace(clock),
            counted_by_calls=lambda: self._counter.counted,
            on_report=agent.window_reported,
            evaluations=agent.metric.done if agent.metric is not None else self.learning.evaluations.done,
        )
        self.conductor = conductor_for(
            agent.ranks, self.controls, agent.channel, self._instruments, agent.rank, agent.leave, agent.origin_s
        )
        self.conductor.before_advance, self.conductor.before_change = agent.after_update, facts.compiled.before_change
        self.so_far = SoFar(self.conductor, clock, agent.channel, agent.rank)
        clock.on_update = self.conductor.on_update
        self.roots.on_training = self._training_forward
        self.roots.on_evaluation = self.loaders.saw_evaluation_forward
        self.roots.on_evaluated = self._evaluated
        self.steps.before_step = self._before_first_steps
        self.steps.on_micro_step = self._micro_step
        self.together = Together(self.controls, agent.spec, agent.remark)
        for part in (self.steps, self.loaders, off_step, self._facts, self.learning):
            part.install()
        hold_overruns(torch)

    def _training_forward(self, root: Root, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        self.steps.forward_seen = True
        if self.controls.parallel.form is not None:
            self.controls.parallel.saw_training_forward(root)
        self._register.saw_training_forward(self._clock.add_samples)
        if root.owned:
            if self._register.train is None:
                self._counter.saw(root, args, kwargs)
            self._facts.saw_forward(args, kwargs, changed=bool(self.controls.settings))

    def _evaluated(self, root: Root, output: object) -> None:
        self._facts.saw_evaluated(root, output)
        self.learning.saw_evaluated(root, output)

    def look_at_learning(self, update: Update) -> None:
        """Look at gradients and parameters right after a step; a failure is reported and harms nothing."""
        window, _recorder = self.conductor.counting()
        if self.controls.parallel.in_pieces:
            return  # to look at a whole parameter, all ranks would have to
        try:
            self.learning.update_ended(update, window is None or not (window.config or window.what_if))
            if self._clock.updates in EARLY_FACTS_UPDATES:
                self.learning.scan()
        except Exception:
            self._agent.channel.send(wire.Note(self._agent.rank, "agent_error", traceback.format_exc()))

    def _loader_broke(self, why: str) -> None:
        """Mark settings that the loader could not take when due as broken: no window may continue as if it had."""
        for name in self.loaders.set_by():
            self.controls.broke(name, why)

    def _arm(self, close: Callable[[], None] | None) -> None:
        """Register the callback that closes autocast while precision is set."""
        self._close = self.steps.before_backward = close
        self.loaders.deliveries.before_batch = close
        self.steps.before_step = self._before_first_steps  # until nothing needs closing any more

    def _cannot_scale(self, why: str) -> None:
        self.precision.restore()
        self.controls.broke(self.precision.setting, why)

    def _before_first_steps(self) -> None:
        if self._close is not None:
            self._close()
        self._search.before_step()
        if self._clock.updates < DEVICE_SOUGHT_UPDATES:
            self._open_device()
        elif self._close is None:
            self.steps.before_step = self._search.before_step

    def _micro_step(self) -> None:
        train = self._register.train
        if train is None:
            self._counter.micro_step()
        elif train.read_ahead:
            self.loaders.saw_micro_step()
        if self.learning.evaluations.wrapped:
            self.learning.evaluations.rest()
        if self._facts.inspecting:
            self._facts.saw_backward()

    def _open_device(self) -> None:
        """Open the device once the script has used one itself."""
        if self.controls.device is not None:
            return
        import torch

        from ..loop.device import open_device

        device = open_device(torch)
        if device is not None:
            self.controls.device = device
            self._clock.device = device
            self._copies.install()

    def first_update_ended(self) -> None:
        self._facts.compiled.first_update_ended()

    def loader_roles(self) -> list[str]:
        return [record.role for record in self._register.records]

    def facts(self, rank: int) -> wire.Facts:
        models = [(root.ref(), root.owned) for root in self.roots.called()]
        called = [model for model, _owned in models if model is not None]
        optimizers = self.steps.optimizers()
        workload = self._facts.workload(
            models=[model for model, owned in models if owned and model is not None],
            optimizers=optimizers,
            loaders=self.loaders.facts(),
            updates=self._clock.updates,
        )
        workload["facts"] |= {
            **self.loaders.workload_facts(),
            "micro_steps": max(1, self.controls.micro_steps),
            "batches_per_update": self.controls.batches_per_update,
            "closures": self.steps.closures_seen,
            "retains_graph": self.steps.retains_graph,
            "repeated_backwards": self.steps.repeated_backwards / max(1, self._clock.updates),
            **part_facts(self.roots.called(), self.steps.owned_parameters()),
        }
        workload["learning"] = self.learning.facts()
        workload["ranks"] = rank_facts(called) if self._agent.ranks > 1 else None
        workload["worker_memory"] = self.loaders.worker_memory()
        workload["arguments"] = self._agent.arguments.describe()
        workload["cpu_limits"] = self._agent.cpu_limits.describe()
        memory = memory_in_use(called, optimizers) | {"host_peak_bytes": self._instruments.host_peak.largest()}
        return wire.Facts(rank=rank, workload=workload, memory=memory)


def _flush_streams() -> None:
    """Flush the script's output, which would be lost if the process exits early."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
