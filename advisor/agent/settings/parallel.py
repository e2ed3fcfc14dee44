"""Training by several processes: applied before the first forward, checked in the first updates and in each epoch.

Every process runs the whole script. What makes them one training is here: equal weights at the beginning, shares of the
same batches, averaged gradients, and proof that the parameters move and stay equal.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from typing import Any, Callable

from ...refused import Refused
from ..base.nothing import nothing
from ..loader.hooks import LoaderHooks
from ..loader.shares import Sharing
from ..loop.clock import StepClock
from ..loop.roots import Root, Roots, modules_without_parent
from ..loop.steps import Steps
from . import parallel_refusals, rank_seeds, sharding, tensor_parallel
from .data_parallel import DataParallelConfined
from .gradients import parameters_of
from .ranks import DIVERGED, Ranks, give_of_first
from .reduction import PLACE, Reduction
from .shared_batches import SharedBatches
from .tensor_parallel import TensorParallel

COPIES, SHARDS, SHARDS_KEPT, HYBRID, ALONE = "ddp", "fsdp2", "fsdp2_no_reshard", "fsdp2_hybrid", "single"
TENSOR = "tensor"
"""Forms: copies of the model, pieces of it, pieces that stay gathered between forward and backward, replicas in pieces,
one process; and layers in parts, of which each process computes its own for the whole batch."""
CHECKED_UPDATES = 5
"""Updates after each of which the ranks are compared; later, once an epoch."""


class Parallel:
    """Control of the processes that train together; it does nothing, and costs nothing, in a process that is alone."""

    def __init__(self, clock: StepClock, roots: Roots, steps: Steps, loaders: LoaderHooks) -> None:
        self._clock = clock
        self._roots = roots
        self._steps = steps
        self._loaders = loaders
        self.ranks = Ranks()
        self.options: dict[str, Any] = {}
        """Options of torch's reducer."""
        self._say: Callable[[str], None] = nothing
        self._data_parallel = DataParallelConfined()
        self._named: tuple[str, ...] = ()
        self._optimizers: Callable[[], list[Any]] = list
        self.form: str | None = None
        """Form in force; None if this process trains alone."""
        self._tensor: TensorParallel | None = None
        self._refuse_late: Callable[[str], None] = nothing
        self._batches = SharedBatches(loaders)
        self._reduction = Reduction(1, self._parameters, self._batches)
        self._began_at = 0
        self._calls_before = 0
        self._weights: tuple[float, ...] | None = None
        self._has_moved = False
        self._threads: int | None = None
        """Threads of operators in the baseline."""

    def join(
        self, ranks: Ranks, optimizers: Callable[[], list[Any]], say: Callable[[str], None], named: tuple[str, ...]
    ) -> None:
        """Take this process' place among the ranks.

        `optimizers` returns those of the script in the order in which it made them, `named` are the user's settings.
        """
        self.ranks, self._optimizers, self._say, self._named = ranks, optimizers, say, named
        if ranks.size > 1:
            self._data_parallel.confine(say)

    @property
    def in_pieces(self) -> bool:
        """True if this process holds only a part of each parameter."""
        return self.form in (SHARDS, SHARDS_KEPT, HYBRID, TENSOR)

    # --- on and off ---------------------------------------------------------------------------------------------------

    def expect(self, processes: int) -> None:
        """Check that this many processes were started; they hold copies of the model if nothing else is set."""
        if processes == 1:
            return
        if self.ranks.size != processes:
            raise Refused(self.ranks.why_alone or f"{processes} processes can only be started by advisor run")
        if self.form is None:
            self.set(COPIES)

    def choose(self, option: str, value: Any) -> None:
        """Choose an option of torch's reducer, before it takes over; None gives it up."""
        if value is None:
            self.options.pop(option, None)
        elif self.ranks.size == 1:
            raise Refused(self.ranks.why_alone or "one process has nobody to send gradients to")
        elif self.in_pieces:
            raise Refused("the model is in pieces, whose gradients are not averaged in buckets")
        else:
            self.options[option] = value

    def set(self, form: str, refuse_late: Callable[[str], None] = nothing) -> None:
        """Train in this form from the next forward on. Raises Refused on all ranks, of which one then remains.

        `refuse_late` is called with a reason that shows in the first updates only.
        """
        self._refuse_late = refuse_late
        if form == ALONE:
            return
        if self.ranks.size == 1:
            raise Refused(
                self.ranks.why_alone or "one process was started: advisor run starts several, as many as processes says"
            )
        try:
            self._set(form)
        except BaseException:
            self.ranks.why_alone = "one process trains, for the reason above"
            self._data_parallel.warn_alone(self._say)
            self.restore()
            raise

    def restore(self) -> None:
        """Train alone again, as long as no rank has taken its share of a batch: then the ranks cannot part."""
        if self.form is not None:
            self.form = None
            self._steps.intervene(PLACE, None)
            self._roots.around_training = None
            self._reduction.detach()
            if self._tensor is not None:
                self._tensor.end()
            self._loaders.deliveries.sharing = None
            self._loaders.deliveries.on_train_batch = None
            self._loaders.deliveries.drawing = contextlib.nullcontext
            self._set_sharing(None)
            self._share_cpus(1)
        if self.ranks.size > 1:
            self.ranks.part()

    def _set(self, form: str) -> None:
        optimizers = [one for one in self._optimizers() if parameters_of(one)]
        modules = self._trained_modules(optimizers)
        local = self._conflict(form) or parallel_refusals.why_not(optimizers, modules, self._steps)
        if form == TENSOR:
            local = local or tensor_parallel.why_not(modules, compiles=self._roots.instead is not None)
        else:
            local = local or parallel_refusals.why_no_shares(self._loaders, self.ranks.size, self._clock.owner)
        self.ranks.connect(_device_of(optimizers))
        self.ranks.agree(local)
        self._agree_on_the_state(modules)
        if form in (SHARDS, SHARDS_KEPT, HYBRID) and form != self.form:
            why = sharding.why_no_replicas(self.ranks.size) if form == HYBRID else None
            self.ranks.agree(why or sharding.why_not(self._called_root(modules), optimizers))
            mesh = sharding.mesh_of(_device_of(optimizers), self.ranks.size, hybrid=form == HYBRID)
            sharding.apply(modules[0], optimizers, mesh, form != SHARDS_KEPT)
        if form != COPIES and self.options:
            self._say(f"{', '.join(self.options)} has no effect: the gradients of a model in pieces have no buckets")
        self._reduction.by_hand = form == COPIES
        if form == TENSOR and self.form is None:
            self._begin_alike(modules, optimizers)
        elif self.form is None:
            self._begin(modules)
        self.form = form
        self._reduction.detach()
        self._began_at, self._calls_before = self._clock.updates, self._roots.training_forwards
        self._reduction.backwards = 0
        self._weights = None

    def _begin(self, modules: list[Any]) -> None:
        ranks = self.ranks
        self._reduction = Reduction(ranks.size, self._parameters, self._batches, by_hand=self._reduction.by_hand)
        self._reduction.may_skip = self._nobody_reads_gradients
        if ranks.joins_after:  # in a probe, which compares losses
            self._reduction.on_loss = self._saw_loss
        self._steps.intervene(PLACE, self._reduction)
        self._roots.around_training = self._reduction.around
        deliveries = self._loaders.deliveries
        deliveries.sharing = Sharing(ranks.rank, ranks.size, self._trains_now)
        deliveries.on_train_batch = self._batches.delivered
        deliveries.drawing = rank_seeds.EpochDraws(ranks.rank, self._compare).drawing
        self._set_sharing(deliveries.sharing)
        rank_seeds.differ(ranks)
        if any("BatchNorm" in type(inner).__name__ for module in modules for inner in module.modules()):
            self._say(
                "batch norm computes its statistics from each process' share of a batch; on CUDA, "
                "torch.nn.SyncBatchNorm.convert_sync_batchnorm(model) in the script keeps those of the whole batch"
            )
        self._share_cpus(ranks.size)

    def _begin_alike(self, modules: list[Any], optimizers: list[Any]) -> None:
        """Let every rank see the whole batch, draw the same numbers, and compute its part of each block."""
        device = _device_of(optimizers)
        # Kernels of a GPU may add in another order each time: what is whole would drift apart.
        self._reduction = Reduction(self.ranks.size, self._same_everywhere, self._batches, by_hand=device != "cpu")
        self._steps.intervene(PLACE, self._reduction)
        self._loaders.deliveries.on_train_batch = self._batches.delivered
        self._loaders.deliveries.drawing = self._drawing_alike
        rank_seeds.agree(self.ranks)
        self._tensor = TensorParallel(self.ranks, self._clock, device, self._optimizers, self._say, self._refuse_late)
        self._tensor.begin(modules)
        self._share_cpus(self.ranks.size)

    def _share_cpus(self, processes: int) -> None:
        """Let operators use this process' part of the CPUs at most; one process gets back what it had."""
        import torch

        if self._threads is None:
            self._threads = torch.get_num_threads()
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        wanted = self._threads if processes == 1 else min(self._threads, max(1, usable // processes))
        if wanted != torch.get_num_threads():
            torch.set_num_threads(wanted)

    def _saw_loss(self, loss: float) -> None:
        """Give the clock the loss of the whole batch as that of the update."""
        self._clock.loss = loss

    def _set_sharing(self, sharing: Sharing | None) -> None:
        feed, _iterator = self._loaders.current()
        if feed is not None and feed.stream is not None:
            feed.stream.sharing = sharing

    # --- on the way ---------------------------------------------------------------------------------------------------

    def _conflict(self, form: str) -> str | None:
        distributed = sys.modules.get("torch.distributed")
        if distributed is not None and distributed.is_initialized() and not self.ranks.connected:
            return "the script has started a process group of its own: run it with torchrun"
        taken = self.form not in (None, form, COPIES) or (form == TENSOR and self.form == COPIES)
        return f"the model already trains as {self.form}" if taken else None

    def _agree_on_the_state(self, modules: list[Any]) -> None:
        """Give every rank the first one's weights; refuse where the ranks have come here by different ways."""
        ways = self.ranks.gather(
            (
                self._clock.updates,
                self._loaders.train.batches if self._loaders.train is not None else 0,
                self._last_whole(),
            )
        )
        if len(set(map(repr, ways))) > 1:
            raise Refused(
                "the processes read different samples although they were seeded alike: the order must not depend on "
                "the time or on the process"
            )
        if self.form is None:
            give_of_first(one for module in modules for one in (*module.parameters(), *module.buffers()))

    def _last_whole(self) -> object:
        record = self._loaders.train
        return record.last_index if record is not None else None

    def _trained_modules(self, optimizers: list[Any]) -> list[Any]:
        owned = {id(parameter) for one in optimizers for parameter in parameters_of(one)}
        return [
            module
            for module in modules_without_parent()
            if any(id(parameter) in owned for parameter in module.parameters())
        ]

    def _called_root(self, modules: list[Any]) -> Any:
        """Return the only trained model, if its own call is the forward; None otherwise."""
        called = [root.ref() for root in self._roots.called() if root.owned]
        return modules[0] if len(modules) == 1 and any(module is modules[0] for module in called) else None

    # --- in the loop --------------------------------------------------------------------------------------------------

    def saw_training_forward(self, root: Root) -> None:
        """Note that what the loader has given is trained on."""
        if self.form is None:
            return
        feed, _iterator = self._loaders.current()
        module = root.ref()
        if feed is not None and feed.stream is not None and module is not None and module.training:
            feed.stream.is_trained_on = True

    def update_ended(self) -> None:
        """Check the ranks after the first updates, and let torch's reducer take over after the first one."""
        if self.form is None:
            return
        since = self._clock.updates - self._began_at
        if since <= CHECKED_UPDATES:
            self._compare()
        if since == CHECKED_UPDATES and not self._has_moved and self._moves():
            self._diverged("the parameters do not change: the optimizer has others than the model")
        if since == 1 and self.form == COPIES:
            self._attach()
        if self._tensor is not None:
            self._tensor.update_ended(since)

    def _moves(self) -> bool:
        """Return whether the parameters should move: a rate that begins with 0 moves nothing for a while."""
        return any(rate for rate in self._rates())

    def _attach(self) -> None:
        """Let torch's reducer take over if every backward followed one forward of the only model."""
        owned = {id(parameter) for parameter in self._parameters()}
        called = [root for root in self._roots.called() if root.owned]
        module = called[0].ref() if len(called) == 1 else None
        calls = self._roots.training_forwards - self._calls_before + 1  # the call in which it began was seen before
        fits = (
            module is not None
            and owned <= {id(parameter) for parameter in module.parameters()}
            and calls == self._reduction.backwards
            and not self._steps.retains_graph
            and not self._steps.takes_turns
        )
        if not all(self.ranks.gather(fits)) or module is None:
            return
        unused = not self.options.get("static_graph") and (bool(self._reduction.missing) or _drops_layers(module))
        self._reduction.attach(module, {"find_unused_parameters": unused, **self.options})

    def _parameters(self) -> list[Any]:
        found = {
            id(parameter): parameter
            for one in self._optimizers()
            for parameter in parameters_of(one)
            if parameter.requires_grad
        }
        return list(found.values())

    # --- batches ------------------------------------------------------------------------------------------------------

    def _trains_now(self) -> bool:
        import torch

        return torch.is_grad_enabled() and any(module.training for module in self._roots.trained())

    def _nobody_reads_gradients(self) -> bool:
        """Return whether no other setting looks at the gradients after each backward, as scaling the loss does."""
        return min(self._steps.interventions, default=PLACE) >= PLACE

    def _drawing_alike(self, begins: bool) -> contextlib.AbstractContextManager[object]:
        if begins:
            self._compare()
        return contextlib.nullcontext()

    def _same_everywhere(self) -> list[Any]:
        """Return the parameters that every rank holds whole."""
        return [parameter for parameter in self._parameters() if not hasattr(parameter, "placements")]

    # --- checks -------------------------------------------------------------------------------------------------------

    def _rates(self) -> list[float]:
        return [float(group.get("lr") or 0.0) for one in self._optimizers() for group in one.param_groups]

    def _compare(self, said: Any = None) -> Any:
        """End the training if the ranks no longer do the same: whatever they save would be wrong.

        Returns what the first one has `said`.
        """
        weights = _checksum(self._parameters())
        if self._weights is not None and weights != self._weights:
            self._has_moved = True
        self._weights = weights
        shown = weights if self.form == COPIES else ()
        drawn = 0
        if self.form == TENSOR:
            shown, drawn = _checksum(self._same_everywhere()), rank_seeds.digest()
        every = self.ranks.gather((self._clock.updates, self._batches.digest, self._rates(), drawn, shown, said))
        names = ("number of updates", "order of samples", "learning rate", "random numbers", "weights")
        for name, values in zip(names, zip(*every)):
            if any(repr(value) != repr(values[0]) for value in values):
                self._diverged(f"the processes no longer have the same {name}")
        return every[0][-1]

    def _diverged(self, why: str) -> None:
        self._say(
            f"the training was ended after {self._clock.updates} updates: {why}. Nothing more was saved; train without "
            f"{', '.join(self._named)}"
        )
        self.ranks.end(DIVERGED)


def _checksum(parameters: list[Any]) -> tuple[float, ...]:
    import torch

    with torch.no_grad():
        local = [getattr(parameter, "_local_tensor", parameter).detach().double() for parameter in parameters]
        sums = [torch.stack([one.sum(), one.square().sum()]).cpu() for one in local if one.numel()]
    if not sums:
        return ()
    total = torch.stack(sums).sum(0).tolist()
    return tuple(value if math.isfinite(value) else 0.0 for value in total)


def _device_of(optimizers: list[Any]) -> str:
    parameters = [parameter for one in optimizers for parameter in parameters_of(one)]
    return str(parameters[0].device.type) if parameters else "cpu"


def _drops_layers(module: Any) -> bool:
    """Return whether the model leaves layers out at random, so that other parameters are unused in each update."""
    config = getattr(module, "config", None)
    names = ("layerdrop", "encoder_layerdrop", "decoder_layerdrop")
    return any(bool(getattr(owner, name, 0)) for owner in (module, config) if owner is not None for name in names)
