"""Owner of `group["lr"]`, the rates that the optimizers step with.

At each moment one of three owns them. As long as nothing is set, it is the script. With another rate, it still is: its
schedulers and the rates it writes by hand go on, and all of them are multiplied by one factor, groups and other
optimizers included. With a schedule of ours, or a sweep, we write the rates before each step; the script's schedulers
are held, and what it writes is overridden. In all three cases the groups hold the rate in force, so that a script that
logs it logs the right one. A larger batch (`learning_rates.py`) raises it further while a step runs.
"""

from __future__ import annotations

import gc
import math
import weakref
from typing import TYPE_CHECKING, Any, Callable

from ... import rate_schedule
from ...refused import Refused
from ..base.nothing import nothing
from ..loop.clock import StepClock
from ..loop.schedulers import ScheduleHold
from ..loop.steps import Steps
from .first_rates import FirstRates
from .optimizer_values import own_optimizers
from .rate_values import Slot, copied, distance, given_back, noted_loss, number, put, times

if TYPE_CHECKING:
    from torch.optim import Optimizer

GROUP_KEYS = ("lr", "initial_lr", "max_lr", "min_lr", "swa_lr")
"""Entries of a parameter group that are rates; schedulers put the last four there."""
SCHEDULER_ATTRIBUTES = ("base_lrs", "max_lrs", "min_lrs", "eta_min", "_last_lr")
"""Rates that torch's schedulers keep themselves."""
ABSOLUTE = ("OneCycleLR", "CyclicLR")
"""Schedulers that set all rates as they are made, whatever the groups held."""
WRITES_RATES = (
    "the script writes its learning rates into the optimizer's groups: they are multiplied by {factor:.4g} before each "
    "step"
)
OVER = "the training goes on past the {updates:.0f} updates that its learning-rate schedule was made for"


class _Known:
    """One parameter group, and the rate that we know of."""

    __slots__ = ("group", "last", "own", "peak", "writes")

    def __init__(self, group: dict[str, Any], peak: float) -> None:
        self.group = group
        self.peak = peak
        """Rate of the script that its other rates are fractions of."""
        self.own = number(group.get("lr")) or 0.0
        """The script's own rate, as it wrote it last."""
        self.last: Any = group.get("lr")
        """Object that the group held when we last looked; an equal one was written by somebody since."""
        self.writes = False
        """True if the script was seen to write whole rates by hand."""


class Rates:
    """Learning rates of all optimizers, one instance per process; nothing is touched until something is set."""

    def __init__(self, steps: Steps, schedules: ScheduleHold, clock: StepClock) -> None:
        self._steps = steps
        self._schedules = schedules
        self._clock = clock
        self.first = FirstRates()
        self.first.on_group = self._added
        self.updates: float | None = None
        """Length of the training in updates; None if it is unknown."""
        self._remark: Callable[[str], None] = nothing
        self._rate: float | None = None
        self._schedule: str | None = None
        self._warm_up: float | None = None
        self._sweep: float | None = None
        self._factor = 1.0
        self._optimizers: list[weakref.ref[Any]] = []
        self._known: dict[int, _Known] = {}
        self._slots: list[Slot] = []
        self._schedulers: list[weakref.ref[Any]] = []
        self._holding = False
        self._done = 0
        """Updates since our schedule began."""
        self._plateau: rate_schedule.Plateau | None = None
        self._loss: Any = None
        self._said: set[str] = set()

    def begin(self, updates: float | None, remark: Callable[[str], None]) -> None:
        """Note what optimizers begin with, once torch is imported; `remark` is told what the user should know."""
        self.updates, self._remark = updates, remark
        self.first.install()

    # --- settings -----------------------------------------------------------------------------------------------------

    def set_rate(self, rate: float | None) -> None:
        """Give the main optimizer's first group this peak rate, and all others theirs in proportion; None takes it
        back. Raises Refused."""
        self._change(_rate=rate)

    def set_schedule(self, name: str | None) -> None:
        """Replace the script's schedule by this one, which begins now; None takes it back. Raises Refused."""
        if name is not None and self.updates is None and rate_schedule.needs_length(name, self._warm_up):
            raise Refused(
                f"the schedule {name} needs the training's length, which is unknown: give its updates (the option "
                "`updates`, or that entry of advisor.yaml)"
            )
        if name is None:
            self._done, self._plateau = 0, None
        elif name == rate_schedule.PLATEAU and self._plateau is None:
            self._plateau = rate_schedule.Plateau(self.updates or 1.0)
        self._change(_schedule=name)

    def set_warm_up(self, fraction: float | None) -> None:
        """Let our schedule rise in this fraction of the training; None takes it back. Raises Refused."""
        if fraction and self.updates is None:
            raise Refused(
                "a warm-up as a fraction needs the training's length, which is unknown: give its updates (the option "
                "`updates`, or that entry of advisor.yaml)"
            )
        self._warm_up = fraction

    def sweep(self, factor: float | None) -> None:
        """Step with this multiple of the script's own peak rates until the next call; None takes it back."""
        if factor is not None and self._sweep is not None:
            self._sweep = factor
        else:
            self._change(_sweep=factor)

    def peak(self) -> float:
        """Return the script's own peak rate, of the main optimizer's first group. Raises Refused."""
        main, optimizers = self._find()
        group = main.param_groups[0]
        known = self._known.get(id(group))
        if known is None:
            self._schedulers = [weakref.ref(each) for each in _schedulers_of(optimizers)]
        return known.peak if known is not None and known.group is group else self._peak_of(main, 0)

    def _change(self, **fields: Any) -> None:
        before = {name: getattr(self, name) for name in fields}
        self._give_back()
        vars(self).update(fields)
        try:
            self._take()
        except Refused:
            vars(self).update(before)
            self._take()
            raise

    @property
    def _writes(self) -> bool:
        """True if we write the rates, and the script's schedulers are held."""
        return self._schedule is not None or self._sweep is not None

    # --- taking and giving back ---------------------------------------------------------------------------------------

    def _take(self) -> None:
        if self._rate is None and not self._writes:
            return
        main, optimizers = self._find()
        self._schedulers = [weakref.ref(each) for each in _schedulers_of(optimizers)]
        peak = self._peak_of(main, 0)
        if not peak > 0:
            raise Refused(f"the script's learning rate is {peak:g}, to which others have no ratio")
        self._factor = 1.0 if self._rate is None or self._sweep is not None else self._rate / peak
        self.first.new_schedulers.clear()
        self._optimizers = [weakref.ref(each) for each in optimizers]
        for optimizer in optimizers:
            for place, group in enumerate(optimizer.param_groups):
                if number(group.get("lr")) is None:
                    self._known.clear()
                    raise Refused(f"a learning rate of {type(optimizer).__name__} is not a number on the CPU")
                known = self._known[id(group)] = _Known(group, self._peak_of(optimizer, place))
                made = self.first.of(optimizer, place)
                known.writes = made not in (None, known.own) and not self._is_scheduled(optimizer, place, known.own)
        if self._writes:
            self._holding = True
            self._schedules.add(self._holds)
            for optimizer in optimizers:
                self._write(optimizer)
        else:
            self._scale(optimizers)
        self._steps.rate_owner = self

    def _give_back(self) -> None:
        self._steps.rate_owner = None
        if self._holding:
            self._holding = False
            self._schedules.remove(self._holds)
            for known in self._known.values():
                if known.group.get("lr") is known.last:  # else the script has written one since
                    put(known.group, known.own)
            self._show()
        for slot in reversed(self._slots):
            slot.holder[slot.key] = given_back(slot, slot.holder.get(slot.key), self._factor)
        self._slots, self._known, self._factor = [], {}, 1.0

    def _scale(self, optimizers: list[Any]) -> None:
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                self._scale_in(group, GROUP_KEYS)
                self._known[id(group)].last = group["lr"]
            self._scale_in(optimizer.defaults, ("lr",))
        for reference in self._schedulers:
            scheduler = reference()
            if scheduler is not None:
                self._scale_in(vars(scheduler), SCHEDULER_ATTRIBUTES)

    def _scale_in(self, holder: dict[str, Any], keys: tuple[str, ...]) -> None:
        for key in keys:
            own = holder.get(key)
            ours = times(own, self._factor)
            if ours is None:
                continue
            self._slots = [slot for slot in self._slots if slot.holder is not holder or slot.key != key]
            self._slots.append(Slot(holder, key, copied(own), ours))
            if hasattr(own, "fill_"):
                put(holder, ours, key)
            else:
                holder[key] = ours

    def _find(self) -> tuple[Any, list[Any]]:
        """Return the main optimizer, and all of the process with a rate. Raises Refused."""
        stepped = self._steps.optimizers()
        optimizers = [each for each in own_optimizers() if each.param_groups and "lr" in each.param_groups[0]]
        main = next((optimizer for optimizer, _record, is_main in stepped if is_main), None)
        if main is None:
            main = max(optimizers, key=_size, default=None)
        if main is None or not main.param_groups or "lr" not in main.param_groups[0]:
            raise Refused("no optimizer with a learning rate was seen")
        return main, optimizers

    def _peak_of(self, optimizer: Optimizer, place: int) -> float:
        group = optimizer.param_groups[place]
        cycles = [vars(each).get("max_lrs") or () for each in self._schedulers_on(optimizer)]
        highest = [rates[place] for rates in cycles if place < len(rates)]
        for value in (*highest, group.get("max_lr"), group.get("initial_lr"), self.first.of(optimizer, place)):
            if number(value):
                return number(value) or 0.0
        return number(group.get("lr")) or 0.0

    def _schedulers_on(self, optimizer: Optimizer) -> list[Any]:
        alive = [each for reference in self._schedulers if (each := reference()) is not None]
        return [each for each in alive if vars(each).get("optimizer") is optimizer]

    # --- around a step ------------------------------------------------------------------------------------------------

    def before_step(self, optimizer: Optimizer) -> None:
        if self.first.new_schedulers:
            self._follow_new_schedulers()
        if self._writes:
            self._write(optimizer)
            return
        for place, group in enumerate(optimizer.param_groups):
            known = self._known.get(id(group))
            value = number(group.get("lr"))
            if value is None:
                continue
            if known is None or known.group is not group:  # a group added since, or the groups of a loaded state
                self._known[id(group)] = known = _Known(group, self._peak_of(optimizer, place))
            elif group["lr"] is not known.last:
                if not self._is_scheduled(optimizer, place, value):
                    put(group, self._written_by_hand(known, value))
                known.last = group["lr"]

    def after_step(self, optimizer: Optimizer) -> None:
        if self._schedule is None or self._sweep is not None or not self._steps.is_main(optimizer):
            return
        self._done += 1
        if self._plateau is not None and self._done % self._plateau.every == 0:
            self._read_loss(self._plateau)
        if self.updates is not None and self._done == math.ceil(self.updates) + 1:
            self._say(OVER.format(updates=self.updates))

    def _write(self, optimizer: Optimizer) -> None:
        factor = self._factor * self._multiple()
        for place, group in enumerate(optimizer.param_groups):
            known = self._known.get(id(group))
            value = number(group.get("lr"))
            if value is None:
                continue
            if known is None or known.group is not group:
                self._known[id(group)] = known = _Known(group, self._peak_of(optimizer, place))
            elif group["lr"] is not known.last:
                known.own = value
            put(group, known.peak * factor)
            known.last = group["lr"]
        self._show()

    def _multiple(self) -> float:
        if self._sweep is not None:
            return self._sweep
        assert self._schedule is not None
        shape = rate_schedule.factor(self._schedule, self._done, self.updates or math.inf, self._warm_up)
        return shape * (self._plateau.factor if self._plateau is not None else 1.0)

    def _show(self) -> None:
        """Let held schedulers report the rates in force: a script may log what they return."""
        for reference in self._schedulers:
            scheduler = reference()
            if scheduler is not None and isinstance(vars(scheduler).get("_last_lr"), list):
                scheduler._last_lr = [group["lr"] for group in scheduler.optimizer.param_groups]

    def _read_loss(self, plateau: rate_schedule.Plateau) -> None:
        """Take in the loss that was noted last time, so that nothing waits for the device."""
        noted, self._loss = self._loss, noted_loss(self._clock.loss)
        if noted is not None and (noted[1] is None or noted[1].query()):
            plateau.read(float(noted[0]))

    # --- the script's own rates ---------------------------------------------------------------------------------------

    def _holds(self, schedule: Any) -> bool:
        return any(reference() is getattr(schedule, "optimizer", None) for reference in self._optimizers)

    def _is_scheduled(self, optimizer: Optimizer, place: int, value: float) -> bool:
        """Return whether one of torch's schedulers has set this rate; each notes the rates that it sets."""
        shown = [vars(each).get("_last_lr") or () for each in self._schedulers_on(optimizer)]
        return any(place < len(rates) and number(rates[place]) == value for rates in shown)

    def _written_by_hand(self, known: _Known, value: float) -> float:
        """Return the rate to step with after the script has written one.

        It is a rate of its own, or what it made of the one it read: the smaller change of the two is meant.
        """
        last = number(known.last) or 0.0
        if not known.writes and distance(value, last) < distance(value, last / self._factor):
            return value
        known.writes = True
        self._say(WRITES_RATES.format(factor=self._factor))
        return value * self._factor

    def _added(self, optimizer: Any, given: bool) -> None:
        """Scale the rate of a group that is added while another rate is set; one by default has been scaled."""
        if self._steps.rate_owner is not self or self._writes:
            return
        if any(reference() is optimizer for reference in self._optimizers):
            group = optimizer.param_groups[-1]
            if given:
                self._scale_in(group, GROUP_KEYS)
            self._known[id(group)] = _Known(group, number(group.get("lr")) or 0.0)

    def _follow_new_schedulers(self) -> None:
        """Take in schedulers made since: those with rates of their own have not heard of our factor."""
        while self.first.new_schedulers:
            scheduler: Any = self.first.new_schedulers.popleft()()
            optimizer = getattr(scheduler, "optimizer", None)
            if optimizer is None or not self._holds(scheduler):
                continue
            self._schedulers.append(weakref.ref(scheduler))
            if self._writes:
                continue
            if type(scheduler).__name__ in ABSOLUTE:
                for group in optimizer.param_groups:
                    self._scale_in(group, GROUP_KEYS)
                    if id(group) in self._known:
                        self._known[id(group)].last = group["lr"]
                self._scale_in(vars(scheduler), SCHEDULER_ATTRIBUTES)
            else:
                self._scale_in(vars(scheduler), ("min_lrs", "eta_min"))

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._remark(text)


def _schedulers_of(optimizers: list[Any]) -> list[Any]:
    import torch

    schedules = torch.optim.lr_scheduler
    kinds = tuple(cls for name in ("LRScheduler", "ReduceLROnPlateau") if (cls := getattr(schedules, name, None)))
    found = [item for item in gc.get_objects() if issubclass(type(item), kinds)]
    return [each for each in found if any(vars(each).get("optimizer") is one for one in optimizers)]


def _size(optimizer: Any) -> int:
    return sum(int(parameter.numel()) for group in optimizer.param_groups for parameter in group["params"])
