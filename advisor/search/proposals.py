"""What is tried next: an expert's first tries for these findings, what they suggest together, the best with one change,
then Optuna's TPE."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..types import Config, KnobSpace, SettingValue, Skipped, Trial
from .goals import Goal
from .sampler import Sampler
from .space import KEEPS_TRAINING, Space

ASKED_AGAIN = 20
"""Times that the sampler may come back with what was tried already before the search is over."""
STRIKES = 2
"""So often a knob may break the script before it is closed: once may have been the value's fault."""
BREAKS = ("crash", "hang", "nan", "refused")
"""Outcomes that speak against a knob; running out of memory speaks against a size."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    config: Config
    reason: str


class Proposer:
    """Ask and tell. The trials told are the truth; the study in memory only serves the sampler."""

    def __init__(self, space: Space, goal: Goal | None = None) -> None:
        self._space = space
        self._sampler = Sampler(space, goal or Goal())
        self._tried: set[Config] = {Config()}
        self._first = [*_alone(space), *_beside(space)]
        self._sound: set[str] = set()
        self._strikes: dict[str, list[str]] = {}
        self.closed: dict[str, str] = {}
        """Knob → why it is not tried any more."""

    def ask(self, trials: Sequence[Trial], taken: Collection[Config] = ()) -> Proposal | None:
        """The next configuration that was not tried yet; None when there is nothing left to try.

        `taken` are those that others are trying now.
        """
        # Together before any second value: in a short search the gains of several knobs are worth more than the fine
        # point of one. Second values are then tried where they would be used: beside what is best by then.
        for proposals in (self._first, _combinations(self._space, trials), _changed(self._space, trials)):
            for proposal in proposals:
                if self._take(proposal.config, taken):
                    return proposal
        return self._sampled(taken)

    def tell(self, trial: Trial, *, broke: bool = True) -> None:
        """What came of a configuration; TPE learns from it. `broke`: a failure speaks against the knobs, too."""
        self._tried.add(trial.config)
        self._sampler.tell(trial)
        names = [name for name, _value in trial.config.settings]
        if trial.ratio is not None:
            self._sound.update(names)
        elif broke and trial.outcome.kind in BREAKS:
            self._blame(trial, names)

    def importances(self, trials: Sequence[Trial]) -> Mapping[str, float]:
        """Knob → its share of the spread between the trials; empty where they are too few."""
        return self._sampler.importances(trials)

    def newly_closed(self) -> list[Skipped]:
        """Knobs that broke the script too often, with the reason."""
        return [Skipped(what=name, why=why) for name, why in self.closed.items()]

    def _blame(self, trial: Trial, names: Sequence[str]) -> None:
        """Among several settings those are blamed that never worked."""
        for name in [name for name in names if len(names) == 1 or name not in self._sound]:
            failures = self._strikes.setdefault(name, [])
            failures.append(f"{trial.outcome.kind}: {trial.outcome.message}")
            if len(failures) >= STRIKES and name not in self.closed:
                often = Counter(failures).most_common(1)[0][0]
                self.closed[name] = f"it broke the script {len(failures)} times ({often})"

    def _take(self, config: Config, taken: Collection[Config]) -> bool:
        if config in self._tried or config in taken or any(name in self.closed for name, _value in config.settings):
            return False
        self._tried.add(config)
        return True

    def _sampled(self, taken: Collection[Config]) -> Proposal | None:
        if len(self._tried) >= self._space.size:
            return None
        for _ in range(ASKED_AGAIN):
            asked = self._sampler.suggest()
            kept = Config.of({name: value for name, value in asked.settings if name not in self.closed})
            config = self._space.meaningful(kept)
            if self._take(config, taken):
                return Proposal(config=config, reason="suggested by TPE from the trials so far")
        return None


def _alone(space: Space) -> Iterator[Proposal]:
    """Each knob by itself at its most promising value."""
    for knob in space.knobs:
        if knob.needs is None:
            yield Proposal(config=Config.of({knob.id: knob.values[0]}), reason=_alone_because(knob))


def _beside(space: Space) -> Iterator[Proposal]:
    """Knobs that draw on one resource, together, whatever each of them gives alone."""
    held = {knob.id: knob.values for knob in space.knobs}
    for knob in space.knobs:
        if knob.beside is not None and knob.beside[1] in held.get(knob.beside[0], ()):
            other, value = knob.beside
            config = Config.of({knob.id: knob.values[0], other: value})
            yield Proposal(config=config, reason=f"{knob.id} and {other} share a resource: {knob.opened_by}")


def _combinations(space: Space, trials: Sequence[Trial]) -> Iterator[Proposal]:
    """What needs another setting, with the best of that; then the best value of each knob, together: first those that
    keep the training, then all."""
    scores = {trial.config: trial.score for trial in trials if trial.score is not None}
    best = _best_alone(trials)
    company = {name: Config.of({name: value}) for name, (_score, value) in best.items()}
    for pair in [proposal.config for proposal in _beside(space)]:
        gained = scores.get(pair, 0.0)
        if gained > max([1.0, *(best[name][0] for name, _value in pair.settings if name in best)]):
            for name, value in pair.settings:
                best[name], company[name] = (gained, value), pair
    for knob in space.knobs:
        if knob.needs in best and best[knob.needs][1]:
            value = knob.values[0]
            config = Config.of({**company[knob.needs].as_dict(), knob.id: value})
            yield Proposal(config=config, reason=f"{knob.id} with what it needs: {knob.opened_by}")
            gained = scores.get(config, 0.0)
            if gained > best[knob.needs][0]:
                best[knob.id] = (gained, value)
    kept = {knob.id for knob in space.knobs if knob.tier in KEEPS_TRAINING}
    for names in (sorted(set(best) & kept), sorted(best)):
        if len(names) > 1:
            config = space.meaningful(Config.of({name: best[name][1] for name in names}))
            yield Proposal(config=config, reason="what helped alone, together")


def _changed(space: Space, trials: Sequence[Trial]) -> Iterator[Proposal]:
    """The best so far that keeps the training, with one knob at another value: the promising values of all knobs first.
    At last without one of its settings, which may stand in another's way."""
    kept = [t for t in trials if t.score is not None and t.score > 1.0 and t.tier in KEEPS_TRAINING]
    best = max(kept, key=lambda trial: trial.score or 0.0).config if kept else Config()
    for place in range(max((len(knob.values) for knob in space.knobs), default=0)):
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
    """Knob → the score and the value of its best trial with nothing else set; those that gained nothing are left
    out."""
    best: dict[str, tuple[float, SettingValue]] = {}
    for trial in trials:
        if trial.score is None or len(trial.config.settings) != 1 or trial.score <= 1.0:
            continue
        ((name, value),) = trial.config.settings
        if trial.score > best.get(name, (0.0, None))[0]:
            best[name] = (trial.score, value)
    return best
