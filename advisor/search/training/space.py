"""Settings that change how a training learns, with the values worth trying: a range of rates, and choices."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ... import knobs
from ...knobs import global_batch, learning_rate
from ...types import Config, Hardware, RangeTest, SettingValue, Skipped, Workload

DECADES = 2.0
"""Decades on either side of the script's rate: a rate 30 times too low or too high lies within, with its best."""
BEYOND = 3.0
"""Factor by which rates below the range test's are searched, too: with momentum, smaller ones do the same."""
FAR = 10**9
"""Steps after which no rate rises any more."""
DIGITS = 2
"""Digits of a rate that is tried: a person would write no more, and losses do not tell more."""


@dataclass(frozen=True, kw_only=True)
class RateRange:
    """Rates between which to search, on a logarithmic scale."""

    baseline: float
    low: float
    high: float
    source: str
    """Where the range comes from."""
    suggestion: float | None = None
    """Rate that a range test suggests, or at which its loss was lowest."""

    def nearest(self, rate: float) -> float:
        """Return the rate within the range, with as many digits as are tried."""
        return rounded(min(self.high, max(self.low, rate)))


@dataclass(frozen=True, kw_only=True)
class TrainingSpace:
    rate: RateRange | None
    """None if the rate cannot be set."""
    choices: Mapping[str, tuple[SettingValue, ...]]
    """Knob → values; the script's own is always another choice."""
    skipped: tuple[Skipped, ...] = ()

    def has(self, knob: str, value: SettingValue) -> bool:
        return value in self.choices.get(knob, ())

    def config(self, settings: Mapping[str, SettingValue | None]) -> Config:
        """Return the settings that mean something together; None stands for the script's own value."""
        found = {name: value for name, value in settings.items() if value is not None}
        for name in list(found):
            needed = knobs.get(name).needs
            if needed and needed not in found:
                del found[name]
        return Config.of(found)

    @property
    def size(self) -> float:
        """Return how many configurations there are; infinity with a range of rates."""
        return math.inf if self.rate is not None else math.prod(1 + len(values) for values in self.choices.values())


def open_training_space(
    hardware: Hardware,
    workload: Workload,
    *,
    only: Collection[str] | None = None,
    without: Collection[str] = (),
    tested: RangeTest | None = None,
    always: Collection[str] = (),
    shortest: int | None = None,
) -> TrainingSpace:
    """Open the knobs that are judged by the loss. `tested` gives the range; all trainings have `always`.

    `shortest` is the number of updates of the shortest training.
    """
    rate: RateRange | None = None
    choices: dict[str, tuple[SettingValue, ...]] = {}
    skipped: list[Skipped] = []
    for knob in knobs.all_knobs():
        if not (knob.judged_by_loss or knob.id == global_batch.KNOB.id) or knob.id in always:
            continue
        if knob.id in without or (only is not None and knob.id not in only):
            skipped.append(Skipped(what=knob.id, why="left alone, as requested"))
            continue
        found = knob.values(hardware, workload)
        if found.why_closed is not None:
            skipped.append(Skipped(what=knob.id, why=found.why_closed))
        elif knob.id == learning_rate.KNOB.id:
            rate = _range(workload, tested)
        elif knob.id == global_batch.KNOB.id and shortest is not None and _warms_up(workload, shortest):
            why = f"its learning rate rises over more than half of the shortest trainings, of {shortest} updates"
            skipped.append(Skipped(what=knob.id, why=why))
        elif found.values:
            choices[knob.id] = tuple(found.values)
    return TrainingSpace(rate=rate, choices=choices, skipped=tuple(skipped))


def _warms_up(workload: Workload, updates: int) -> bool:
    """Return whether the rate of a larger batch still rises in the middle of so short a training, which misleads."""
    optimizer = workload.main_optimizer
    name = optimizer.class_name if optimizer is not None else ""
    middle, later = (global_batch.rate_factor(2.0, name, steps) for steps in (updates // 2, FAR))
    return middle < later


def rounded(rate: float) -> float:
    return float(f"{rate:.{DIGITS}g}")


def _range(workload: Workload, tested: RangeTest | None) -> RateRange | None:
    optimizer = workload.main_optimizer
    own = optimizer.learning_rate if optimizer is not None else None
    if not own or not own > 0:
        return None
    bracket = tested.bracket if tested is not None else None
    if tested is not None and bracket is not None:
        lowest, highest = bracket.falls_from or bracket.steepest, bracket.diverges_from or bracket.valley * BEYOND
        suggested = tested.suggestion.rate if tested.suggestion is not None else None
        if suggested is None and not lowest <= own <= highest:  # one that does not train is no place to begin
            suggested = bracket.valley
        return RateRange(
            baseline=own,
            low=min(own, lowest / BEYOND),
            high=max(own, highest),
            source="the range test, and the script's own rate",
            suggestion=suggested,
        )
    return RateRange(
        baseline=own,
        low=own / 10**DECADES,
        high=own * 10**DECADES,
        source=f"{DECADES:g} decades on either side of the script's rate {own:g}",
    )
