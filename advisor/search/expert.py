"""Configurations that an expert would try, in order: the usual settings of an accelerator, together; each knob that a
finding opens; the settings that helped, together; the best with one change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..types import Config, KnobSpace, SettingValue, Trial
from .space import KEEPS_TRAINING, Space

VALUES_BESIDE_THE_BEST = 2
"""Values tried of each knob; the rest is left to a sampler that has learnt from all of them."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    config: Config
    reason: str
    sampled: bool = False
    """Suggested by a sampler, when the expert has nothing left to propose."""


def tries(space: Space, trials: Sequence[Trial]) -> Iterator[Proposal]:
    """Yield proposals based on the trials so far; some of them may have been tried already.

    Combinations come before any second value: in a short search the gains of several knobs are worth more than
    fine-tuning one. Second values are then tried where they would be used: beside the best so far.
    """
    yield from _usual(space)
    yield from _alone(space)
    yield from _sharing(space)
    yield from _combinations(space, trials)
    yield from _changed(space, trials)


def _usual(space: Space) -> Iterator[Proposal]:
    """Propose all settings that an expert sets on an accelerator without thinking, at once.

    One limit of a script hides the next, so each setting alone may show nothing.
    """
    chosen = {knob.id: knob.values[0] for knob in space.knobs if knob.usual and knob.effect in KEEPS_TRAINING}
    config = space.meaningful(Config.of(chosen))
    if len(config.settings) > 1:
        yield Proposal(config=config, reason="the usual settings on an accelerator, together")


def _alone(space: Space) -> Iterator[Proposal]:
    """Propose each knob by itself at its most promising value."""
    for knob in space.knobs:
        if (knob.needs is None or knob.needed_is_on) and not knob.beside_the_best:
            yield Proposal(config=Config.of({knob.id: knob.values[0]}), reason=_alone_because(knob))


def _sharing(space: Space) -> Iterator[Proposal]:
    """Propose knobs that share the CPUs, together, whatever each of them gains alone."""
    held = {knob.id: knob.values for knob in space.knobs}
    for knob in space.knobs:
        other, value = knob.shares_cpus_with or ("", None)
        if value in held.get(other, ()):
            config = Config.of({knob.id: knob.values[0], other: value})
            yield Proposal(config=config, reason=f"{knob.id} and {other} share the CPUs: {knob.opened_by}")


def _combinations(space: Space, trials: Sequence[Trial]) -> Iterator[Proposal]:
    """Propose knobs with the best of what they need, then the best value of each knob together.

    The combination of knobs that keep the training comes first, then that of all.
    """
    scores = {trial.config: trial.score for trial in trials if trial.score is not None}
    best = _best_alone(trials)
    company = {name: Config.of({name: value}) for name, (_score, value) in best.items()}
    for pair in [proposal.config for proposal in _sharing(space)]:
        gained = scores.get(pair, 0.0)
        if gained > max([1.0, *(best[name][0] for name, _value in pair.settings if name in best)]):
            for name, value in pair.settings:
                best[name], company[name] = (gained, value), pair
    for knob in space.knobs:
        if knob.needs in best and best[knob.needs][1] and not knob.needed_is_on:
            value = knob.values[0]
            config = Config.of({**company[knob.needs].as_dict(), knob.id: value})
            yield Proposal(config=config, reason=f"{knob.id} with the knob it needs: {knob.opened_by}")
            gained = scores.get(config, 0.0)
            if gained > best[knob.needs][0]:
                best[knob.id] = (gained, value)
    kept = {knob.id for knob in space.knobs if knob.effect in KEEPS_TRAINING}
    for names in (sorted(set(best) & kept), sorted(best)):
        if len(names) > 1:
            config = space.meaningful(Config.of({name: best[name][1] for name in names}))
            yield Proposal(config=config, reason="the helpful settings together")


def _changed(space: Space, trials: Sequence[Trial]) -> Iterator[Proposal]:
    """Propose the best that keeps the training with one knob at another value, the most promising values first.

    Finally propose it without one of its settings, which may stand in another's way.
    """
    kept = [t for t in trials if t.score is not None and t.score > 1.0 and t.effect in KEEPS_TRAINING]
    best = max(kept, key=lambda trial: trial.score or 0.0).config if kept else Config()
    for place in range(VALUES_BESIDE_THE_BEST):
        for knob in space.knobs:
            if place < len(knob.values):
                config = space.meaningful(Config.of({**best.as_dict(), knob.id: knob.values[place]}))
                reason = f"the best so far with {knob.id}={knob.values[place]}: {knob.opened_by}"
                yield Proposal(config=config, reason=reason if len(config.settings) > 1 else _alone_because(knob))
    for name, _value in best.settings:
        config = space.meaningful(Config.of({other: v for other, v in best.settings if other != name}))
        yield Proposal(config=config, reason=f"the best so far without {name}")


def _alone_because(knob: KnobSpace) -> str:
    return f"{knob.id} alone: {knob.opened_by}"


def _best_alone(trials: Sequence[Trial]) -> dict[str, tuple[float, SettingValue]]:
    """Return knob → score and value of its best trial with nothing else set, without those that gained nothing."""
    best: dict[str, tuple[float, SettingValue]] = {}
    for trial in trials:
        if trial.score is None or len(trial.config.settings) != 1 or trial.score <= 1.0:
            continue
        ((name, value),) = trial.config.settings
        if trial.score > best.get(name, (0.0, None))[0]:
            best[name] = (trial.score, value)
    return best
