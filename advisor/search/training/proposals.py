"""Candidates of the first rung: those an expert would try, then those that TPE makes of all before."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ... import rate_schedule
from ...knobs import global_batch, learning_rate, lr_schedule, momentum, warm_up_fraction
from ...types import Config, SettingValue
from .sampler import TrainingSampler
from .space import RateRange, TrainingSpace

RATE, SCHEDULE, WARM_UP = learning_rate.KNOB.id, lr_schedule.KNOB.id, warm_up_fraction.KNOB.id
MOMENTUM, BATCH = momentum.KNOB.id, global_batch.KNOB.id
FIRST_FACTORS = (3.0, 10.0, 1 / 3)
"""Multiples of the script's rate that an expert tries first."""
STEP = 3.0
"""Factor of the next rate in a direction that helped: coarse enough to cross two decades in four trainings."""
NEARBY = (1.8, 1 / 1.8)
"""Multiples of the best rate so far: half a step."""
ALIKE = 1.2
"""Factor within which two rates do the same: losses of two seeds differ by more than theirs."""
LEAST_STEP = 1.5
"""Factor below which the next rate is not worth a training: the range ends there."""
WARM_UP_FRACTION = 0.05
USUAL_MOMENTUM = 0.9
SUGGESTIONS = 20
"""Times that the sampler may repeat what was tried before there is nothing left to try."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    config: Config
    reason: str


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A candidate of the rung, and its loss: None if its training failed."""

    settings: Mapping[str, SettingValue]
    loss: float | None


class Proposer:
    """Ask-and-tell proposer; the trainings told are the truth."""

    def __init__(self, space: TrainingSpace, baseline_loss: float, most: int) -> None:
        self._space = space
        self._scored = [Scored(settings={}, loss=baseline_loss)]
        self._tried = {Config()}
        self._expert: Iterator[Proposal] | None = _expert(space, self._scored, most)
        self._asked = 0
        self._sampler: TrainingSampler | None = None
        self._told = 0

    def at_once(self, together: int) -> int:
        """Return how many candidates may be asked for before the results of the first are told."""
        if self._expert is None:
            return together
        first = len(FIRST_FACTORS) if self._space.rate is not None else 1
        return max(1, min(together, first - self._asked))

    def ask(self) -> Proposal | None:
        """Return the next candidate, each once; None if there is nothing left to try."""
        self._asked += 1
        found = next((one for one in self._expert if not self._was_tried(one.config)), None) if self._expert else None
        if found is None:
            self._expert = None
            found = self._sampled()
        if found is not None:
            self._tried.add(found.config)
        return found

    def tell(self, settings: Mapping[str, SettingValue], loss: float | None) -> None:
        """Record the loss of a candidate; None if its training failed."""
        self._scored.append(Scored(settings=settings, loss=loss))

    def _sampled(self) -> Proposal | None:
        if len(self._tried) >= self._space.size:
            return None
        if self._sampler is None:
            self._sampler = TrainingSampler(self._space)
        for one in self._scored[self._told :]:
            self._sampler.tell(one.settings, one.loss)
        self._told = len(self._scored)
        too_high = min((rate for rate, loss in self._rates().items() if math.isinf(loss)), default=math.inf)
        for _ in range(SUGGESTIONS):
            suggested = self._sampler.suggest()
            rate, config = suggested.get(RATE), self._space.config(suggested)
            if not self._was_tried(config) and not (isinstance(rate, int | float) and rate >= too_high):
                return Proposal(config=config, reason="suggested by TPE from the trainings so far")
        others = _neighbours(self._space, self._scored)
        return next((one for one in others if not self._was_tried(one.config)), None)

    def _was_tried(self, config: Config) -> bool:
        """Return whether it was tried, or the same with a rate that is hardly another one."""
        if config in self._tried:
            return True
        rate, others = config.as_dict().get(RATE), config.without(RATE)
        return isinstance(rate, int | float) and any(
            one.without(RATE) == others
            and isinstance(known := one.as_dict().get(RATE), int | float)
            and 1 / ALIKE < known / rate < ALIKE
            for one in self._tried
        )

    def _rates(self) -> dict[float, float]:
        return {} if self._space.rate is None else _rates(self._scored, self._space.rate.baseline)


def _expert(space: TrainingSpace, scored: Sequence[Scored], most: int) -> Iterator[Proposal]:
    """Yield what an expert tries: rates, further in the direction that helps, then what goes with the best.

    `scored` grows between two of them.
    """
    rate = space.rate
    if rate is not None:
        yield from _first_rates(space, rate)
        steps = 0
        while steps < most // 3 and (further := _further(space, scored)) is not None:
            steps += 1
            yield _rate(space, further, "further in the direction that helped")
    yield from _beside(space, _best_rate(scored))
    yield from _around(space, scored)


def _first_rates(space: TrainingSpace, rate: RateRange) -> Iterator[Proposal]:
    if rate.suggestion is None:
        for factor in FIRST_FACTORS:
            yield _rate(space, rate.nearest(factor * rate.baseline), _times(factor))
        return
    yield _rate(space, rate.nearest(rate.suggestion), "that the range test suggests")
    for factor in (STEP, 1 / STEP):
        yield _rate(
            space, rate.nearest(factor * rate.suggestion), f"{_times(factor)} that which the range test suggests"
        )


def _beside(space: TrainingSpace, best: float | None) -> Iterator[Proposal]:
    """Yield a schedule, momentum and a larger batch at the best rate so far; None is the script's own."""
    own: dict[str, SettingValue | None] = {RATE: best}
    at = f"at the best rate so far, {best:g}" if best is not None else "at the script's rate"
    if space.has(SCHEDULE, rate_schedule.COSINE):
        warm_up = WARM_UP_FRACTION if space.has(WARM_UP, WARM_UP_FRACTION) else None
        yield Proposal(
            config=space.config({**own, SCHEDULE: rate_schedule.COSINE, WARM_UP: warm_up}),
            reason=f"cosine with a warm-up of {WARM_UP_FRACTION:.0%}, {at}",
        )
    if space.has(MOMENTUM, USUAL_MOMENTUM):
        yield Proposal(config=space.config({**own, MOMENTUM: USUAL_MOMENTUM}), reason=f"momentum, {at}")
        if space.rate is not None:
            lower = space.rate.nearest((best or space.rate.baseline) / STEP)
            yield Proposal(
                config=space.config({RATE: lower, MOMENTUM: USUAL_MOMENTUM}),
                reason="momentum, at a third of that rate: it makes longer steps",
            )
    if space.choices.get(BATCH):
        yield Proposal(config=space.config({**own, BATCH: space.choices[BATCH][0]}), reason=f"a larger batch, {at}")


def _around(space: TrainingSpace, scored: Sequence[Scored]) -> Iterator[Proposal]:
    """Yield the best of all so far with a schedule, then with nearby rates; each is the best when it is asked for."""
    if space.has(SCHEDULE, rate_schedule.COSINE):
        best = _best(scored)
        if SCHEDULE not in best:
            config = space.config({**best, SCHEDULE: rate_schedule.COSINE})
            yield Proposal(config=config, reason="the best so far with a cosine schedule")
    if space.rate is not None:
        for factor in NEARBY:
            best = _best(scored)
            own = best.get(RATE, space.rate.baseline)
            assert isinstance(own, int | float)
            rate = space.rate.nearest(factor * own)
            yield Proposal(config=space.config({**best, RATE: rate}), reason="the best so far with a nearby rate")


def _neighbours(space: TrainingSpace, scored: Sequence[Scored]) -> Iterator[Proposal]:
    """Yield the best so far with one choice changed."""
    best = _best(scored)
    for name, values in space.choices.items():
        for value in values:
            yield Proposal(config=space.config({**best, name: value}), reason=f"the best so far with another {name}")


def _best(scored: Sequence[Scored]) -> Mapping[str, SettingValue]:
    """Return the settings with the lowest loss; none if that is the script as written."""
    return min(scored, key=lambda one: math.inf if one.loss is None else one.loss).settings


def _rate(space: TrainingSpace, rate: float, why: str) -> Proposal:
    return Proposal(config=space.config({RATE: rate}), reason=f"rate {why}")


def _times(factor: float) -> str:
    return f"× {factor:g}" if factor > 1 else f"÷ {round(1 / factor):g}"


def _rates(scored: Sequence[Scored], baseline: float) -> dict[float, float]:
    """Return rate → loss of the candidates that change nothing else; a failed one has an infinite loss."""
    found = {}
    for one in scored:
        if set(one.settings) <= {RATE}:
            rate = one.settings.get(RATE, baseline)
            if isinstance(rate, int | float):
                found[float(rate)] = math.inf if one.loss is None else one.loss
    return found


def _further(space: TrainingSpace, scored: Sequence[Scored]) -> float | None:
    """Return the next rate beyond the best one, if that is the outermost so far; None if others surround it."""
    assert space.rate is not None
    found = _rates(scored, space.rate.baseline)
    if len(found) < 2:
        return None
    best = min(found, key=found.__getitem__)
    if best == max(found):
        beyond = space.rate.nearest(best * STEP)
    elif best == min(found):
        beyond = space.rate.nearest(best / STEP)
    else:
        return None
    return beyond if max(beyond / best, best / beyond) > LEAST_STEP else None


def _best_rate(scored: Sequence[Scored]) -> float | None:
    """Return the rate of the best candidate that changes nothing else; None if it is the script's own."""
    rates = [one for one in scored if set(one.settings) <= {RATE} and one.loss is not None]
    if not rates:
        return None
    best = min(rates, key=lambda one: one.loss if one.loss is not None else math.inf)
    rate = best.settings.get(RATE)
    return float(rate) if isinstance(rate, int | float) else None
