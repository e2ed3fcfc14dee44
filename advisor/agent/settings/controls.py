"""Settings controls: the handles for knobs and what-ifs, and the configuration in force."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable

from ...patience import Patience
from ...refused import Refused
from ..base.nothing import nothing
from ..loader.device_copies import DeviceCopies
from ..loader.hooks import LoaderHooks
from ..loop.clock import StepClock
from ..loop.device import Device
from ..loop.roots import Roots
from ..loop.schedulers import ScheduleHold
from ..loop.steps import Steps
from . import unseen_ranks
from .accumulation import Accumulation
from .checkpointing import Checkpointing
from .compiler_stance import CompilerStance
from .compiling import Compiling
from .early_stop import EarlyStop
from .garbage_collection import GarbageCollection
from .gradient_norms import GradientNorms
from .hidden_muon import HiddenMuon
from .known_reads import KnownReads
from .learning_rates import Factor, LearningRates
from .memory_format import MemoryFormat
from .optimizer_form import OptimizerForm
from .optimizer_values import OptimizerValues
from .parallel import Parallel
from .precision import Precision
from .rates import Rates
from .script_checkpoints import ScriptCheckpoints
from .untrained import Untrained


@dataclass
class Controls:
    """Running script as the agent sees it; mutable on purpose."""

    clock: StepClock
    roots: Roots
    steps: Steps
    loaders: LoaderHooks
    precision: Precision
    schedules: ScheduleHold = field(default_factory=ScheduleHold)
    device: Device | None = None
    micro_steps: int = 0
    """Backwards of the last update as the script counts them; 0 before the first update."""
    _batches: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    """Updates and train batches until now, then those of them in which no batch came in parts."""
    settings: dict[str, object] = field(default_factory=dict)
    """Present differences from the baseline."""
    memory_format: MemoryFormat = field(init=False)
    optimizer_form: OptimizerForm = field(init=False)
    saved: dict[str, object] = field(default_factory=dict)
    """Knob id → state that the knob needs to restore the baseline exactly; kept by the knobs themselves."""

    broken: dict[str, str] = field(default_factory=dict)
    """Settings that were accepted, failed in the script's own code and were taken back, each with the reason."""
    communication: Any = None
    """Watch on the waits for other ranks; None in a process that is alone."""
    say: Callable[[str], None] = nothing
    """Function that tells the user what a setting did."""
    on_broken: Callable[[str, str], None] | None = None
    """Callable (name, reason) notified of such a setting at once, in place of `broken`."""

    def __post_init__(self) -> None:
        self.roots.backwards = lambda: self.steps.backwards + self.steps.gradients
        self.memory_format = MemoryFormat(self.roots, self.steps)
        self.optimizer_form = OptimizerForm(self.steps)
        self.rates = Rates(self.steps, self.schedules, self.clock)
        self.optimizer_values = OptimizerValues(self.steps)
        self.hidden_muon = HiddenMuon(self.steps)
        self.garbage_collection = GarbageCollection(self.clock)
        self.gradient_norms = GradientNorms(self.clock, self.steps)
        self.device_copies = DeviceCopies(self.loaders.deliveries, self.clock, self.broke)
        self.reads = KnownReads(self.clock)
        self.untrained = Untrained(self.roots, self.steps, self.clock)
        self.accumulation = Accumulation(
            self.clock, self.roots, self.steps, self.loaders, lambda why: self.broke("micro_batch", why)
        )
        self.early_stop = EarlyStop(self.clock, self.roots, self.steps, self.loaders)
        self.parallel = Parallel(self.clock, self.roots, self.steps, self.loaders)
        self.stance = CompilerStance()
        self.compiling = Compiling(self.roots, self.clock, lambda why: self.broke("compile", why))
        self.checkpointing = Checkpointing(
            self.roots, self.compiling, lambda why: self.broke("activation_checkpointing", why)
        )
        self.script_checkpoints = ScriptCheckpoints(self.compiling)

    def saw_update(self, micro_steps: int) -> None:
        """Note the end of an update; parts of a batch do not count as the script's micro-steps or batches."""
        train = self.loaders.train
        before, now = self._batches, (self.clock.updates, train.batches if train is not None else 0)
        whole = not self.accumulation.on and now[1] > before[1] > 0
        passed = [new - old if whole else 0 for new, old in zip(now, before)]
        self._batches = [*now, *(old + more for old, more in zip(before[2:], passed))]
        if not self.accumulation.on:
            self.micro_steps = micro_steps

    @property
    def batches_per_update(self) -> float | None:
        """Batches that the training's loader delivers for an update; None without a loader, or if none was counted."""
        updates, batches = self._batches[2:]
        return batches / updates if updates else None

    @property
    def batches(self) -> float:
        """The same, by the backwards of an update where no loader delivered any; one at least."""
        return max(1, self.batches_per_update or self.micro_steps)

    @property
    def world_size(self) -> int:
        """Processes that train together."""
        return unseen_ranks.world_size()

    def scale_rates(self, factor: Factor | None) -> None:
        """Multiply learning rates by this factor from the next step on; None leaves them as in the baseline."""
        self.steps.rates = LearningRates(factor) if factor is not None else None

    def evaluate_in_batches(self, size: int | None, by: str) -> None:
        """Give evaluations batches of `size` on behalf of the setting `by`; None restores the script's."""
        if size is None:
            self.loaders.evaluation.restore()
        else:
            self.loaders.evaluation.set(size, lambda why: self.broke(by, why))

    def stop_early(self, patience: Patience | None, by: str) -> None:
        """End the training once its loss is flat, on behalf of the setting `by`; None lets it go on."""
        if patience is None:
            self.early_stop.restore()
        elif self.world_size > 1:
            raise Refused(
                f"{self.world_size} ranks: each would end at another update, and the others would wait for it"
            )
        else:
            self.early_stop.set(patience, self.say, lambda why: self.broke(by, why))

    def run_eagerly(self, on: bool) -> None:
        """Run what the script has compiled as plain Python while on."""
        self.stance.force_eager(on)

    def broke(self, name: str, why: str) -> None:
        """Note that a setting has failed within an update; it must not raise into the script."""
        if self.on_broken is not None:
            self.on_broken(name, why)
        else:
            self.broken.setdefault(name, why)

    def take_broken(self) -> str | None:
        """Return why the present settings cannot be kept, and take them all back; None if they can."""
        if not self.broken:
            return None
        message = "; ".join(f"{name}={self.settings.get(name)}: {why}" for name, why in self.broken.items())
        self.broken = {}
        self.set_config({})
        return message

    def micro_batch_of(self, global_batch: int) -> int:
        """Return the samples per micro-batch with which an update takes `global_batch` of them over all ranks."""
        unseen_ranks.refuse(is_ours=self.parallel.ranks.connected)
        parts = round(self.batches) * self.world_size
        if global_batch % parts:
            raise Refused(f"global_batch={global_batch} cannot be divided into {parts} equal micro-batches")
        return global_batch // parts

    def set_config(self, wanted: dict[str, Any]) -> bool:
        """Apply the wanted settings and take back all others; return whether anything changed.

        Raises Refused with the knob's reason; the baseline is then back.
        """
        from ... import knobs

        unknown = knobs.refusal(wanted)
        if unknown is not None:
            self.set_config({})
            raise Refused(unknown)
        if wanted == self.settings:
            return False
        try:
            with self.loaders.together():
                for name in [name for name in self.settings if name not in wanted]:
                    knobs.get(name).restore(self)
                    del self.settings[name]
                for name, value in wanted.items():
                    if self.settings.get(name, _MISSING) != value:
                        # A loader knob is refused only once all are known, so it must be taken back too.
                        self.settings[name] = value
                        knobs.get(name).apply(self, value)
        except Refused:
            with self.loaders.together():
                for name in list(self.settings):
                    knobs.get(name).restore(self)
                self.settings.clear()
            raise
        self.compiling.beside(self.settings)
        return True


_MISSING = object()
