"""Configurations that an expert would try, in order: the usual settings of an accelerator, together; the best so far
with one knob more, those first that limit it now; knobs that help only together; the best with one change."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ..types import Config, KnobSpace, SettingValue, Trial
from .space import KEEPS_TRAINING, Space
from .steps import A_STEP, best_so_far, clear_gain

VALUES_BESIDE_THE_BEST = 2
"""Values tried of each knob; the rest is left to a sampler that has learnt from all of them."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    config: Config
    reason: str
    sampled: bool = False
    """Suggested by a sampler, when the expert has nothing left to propose."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """Limit of the best configuration so far."""

    config: Config
    knobs: tuple[str, ...] = ()
    """Knobs that may help against it, the most promising first."""
    why: str = ""
    """The finding, for the reason of a trial."""


@dataclass(frozen=True, kw_only=True)
class _Bases:
    """Configurations that a knob is added to."""

    kept: Config = field(default_factory=Config)
    """The best that keeps the training."""
    best: Config = field(default_factory=Config)
    """The best of all: another knob that changes the training is tried beside it."""

    @classmethod
    def of(cls, trials: Sequence[Trial]) -> _Bases:
        kept, best = best_so_far(trials), best_so_far(trials, "all")
        nothing = Config()
        return cls(kept=kept.config if kept else nothing, best=best.config if best else nothing)

    def of_knob(self, knob: KnobSpace) -> Config:
        return self.kept if knob.effect in KEEPS_TRAINING else self.best


def tries(space: Space, trials: Sequence[Trial], limit: Limit | None = None) -> Iterator[Proposal]:
    """Yield proposals based on the trials so far; some of them may have been tried already.

    Each knob is tried beside the best so far: one limit of a script hides the next. `limit` is what limits that best.
    """
    bases = _Bases.of(trials)
    yield from _usual(space)
    if limit is not None and limit.config == bases.kept:
        yield from _against(limit, space, bases)
    passed_over = not_beside_a_clear_gain(space, trials)
    space = replace(space, knobs=tuple(knob for knob in space.knobs if knob.id not in passed_over))
    yield from _one_more(space, trials, bases)
    yield from _gained(space, trials, bases)
    yield from _together(space, bases)
    yield from _changed(space, bases)


def not_beside_a_clear_gain(space: Space, trials: Sequence[Trial]) -> Collection[str]:
    """Return the knobs that are open only because they cost next to nothing, once there is a gain without them."""
    best = best_so_far(trials)
    if best is None or clear_gain(best) is None:
        return ()
    return {knob.id for knob in space.knobs if knob.unprompted and knob.id not in best.config.as_dict()}


def _usual(space: Space) -> Iterator[Proposal]:
    """Propose all settings that an expert sets on an accelerator without thinking, at once.

    One limit of a script hides the next, so each setting alone may show nothing.
    """
    chosen = {knob.id: knob.values[0] for knob in space.knobs if knob.usual and knob.effect in KEEPS_TRAINING}
    config = space.meaningful(Config.of(chosen))
    if len(config.settings) > 1:
        yield Proposal(config=config, reason="the usual settings on an accelerator, together")


def _against(limit: Limit, space: Space, bases: _Bases) -> Iterator[Proposal]:
    """Propose the knobs that help against what limits the best so far, whatever they gave beside an earlier best."""
    held = {knob.id: knob for knob in space.knobs}
    for knob in [held[name] for name in limit.knobs if name in held]:
        if _is_possible(knob, bases.kept):
            for value in knob.values[:VALUES_BESIDE_THE_BEST]:
                config = space.added(bases.of_knob(knob), knob.id, value)
                yield Proposal(config=config, reason=f"the best so far with {knob.id}={value}: {limit.why}")


def _one_more(space: Space, trials: Sequence[Trial], bases: _Bases) -> Iterator[Proposal]:
    """Propose each knob that was not judged yet, at its most promising value."""
    judged = _judged(trials, bases)
    for knob in space.knobs:
        base = bases.of_knob(knob)
        waits = knob.beside_the_best and not base.settings
        if knob.id not in judged and not waits and _is_possible(knob, base):
            yield _with(knob, knob.values[0], base, space)


def _gained(space: Space, trials: Sequence[Trial], bases: _Bases) -> Iterator[Proposal]:
    """Propose the settings that gained beside another configuration, and that the best so far does not hold."""
    scores = {Config(): 1.0, **{trial.config: trial.score for trial in trials if trial.score is not None}}
    held = {knob.id: knob for knob in space.knobs}
    for config, score in scores.items():
        for name, value in config.settings:
            before = scores.get(config.without(name))
            knob = held.get(name)
            if knob is None or before is None or score <= (1 + A_STEP) * before:
                continue
            base = bases.of_knob(knob)
            if name not in base.as_dict():
                yield _with(knob, value, base, space)


def _together(space: Space, bases: _Bases) -> Iterator[Proposal]:
    """Propose knobs that share the CPUs, and knobs with those that they need, whatever each of them gains alone."""
    held = {knob.id: knob.values for knob in space.knobs}
    for knob in space.knobs:
        other, value = knob.shares_cpus_with or ("", None)
        if value in held.get(other, ()):
            config = space.added(space.added(bases.kept, knob.id, knob.values[0]), other, value)
            yield Proposal(config=config, reason=f"{knob.id} and {other} share the CPUs: {knob.opened_by}")
    for knob in space.knobs:
        if knob.needs is not None and not _is_possible(knob, bases.kept):
            needed = next((value for value in held.get(knob.needs, ()) if value), None)
            if needed is not None:
                config = space.added(space.added(bases.kept, knob.needs, needed), knob.id, knob.values[0])
                yield Proposal(config=config, reason=f"{knob.id} with the knob it needs: {knob.opened_by}")


def _changed(space: Space, bases: _Bases) -> Iterator[Proposal]:
    """Propose the best that keeps the training with one knob at another value, the most promising values first.

    Finally propose it without one of its settings, which may stand in another's way.
    """
    for place in range(VALUES_BESIDE_THE_BEST):
        for knob in space.knobs:
            if place < len(knob.values) and _is_possible(knob, bases.kept):
                yield _with(knob, knob.values[place], bases.kept, space)
    for name, _value in bases.kept.settings:
        yield Proposal(config=space.meaningful(bases.kept.without(name)), reason=f"the best so far without {name}")


def _with(knob: KnobSpace, value: SettingValue, base: Config, space: Space) -> Proposal:
    config = space.added(base, knob.id, value)
    beside = f"the best so far with {knob.id}={value}" if len(config.settings) > 1 else f"{knob.id} alone"
    return Proposal(config=config, reason=f"{beside}: {knob.opened_by}")


def _is_possible(knob: KnobSpace, base: Config) -> bool:
    """Return whether the knob means anything beside these settings."""
    return knob.needs is None or bool(base.as_dict().get(knob.needs, knob.needed_is_on))


def _judged(trials: Sequence[Trial], bases: _Bases) -> Collection[str]:
    """Return knobs that the best so far holds, or that a trial differed by from another one or from the baseline."""
    known = {Config(), *(trial.config for trial in trials)}
    found = {name for name, _value in (*bases.kept.settings, *bases.best.settings)}
    for trial in trials:
        found.update(name for name, _value in trial.config.settings if trial.config.without(name) in known)
    return found
