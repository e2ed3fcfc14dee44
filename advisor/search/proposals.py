"""What is tried next: what an expert would try, then Optuna's TPE; and what is not tried any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from ..types import Config, Skipped, Trial
from . import expert
from .expert import Proposal
from .goals import Goal
from .sampler import Sampler
from .space import Space

ASKED_AGAIN = 20
"""Times that the sampler may come back with what was tried already before the search is over."""
STRIKES = 2
"""So often a knob may break the script before it is closed: once may have been the value's fault."""
BREAKS = ("crash", "hang", "nan", "refused")
"""Outcomes that speak against a knob; running out of memory speaks against a size."""


class Proposer:
    """Ask and tell. The trials told are the truth; the study in memory only serves the sampler."""

    def __init__(self, space: Space, goal: Goal | None = None) -> None:
        self._space = space
        self._sampler = Sampler(space, goal or Goal())
        self._tried: set[Config] = {Config()}
        self._sound: set[str] = set()
        self._strikes: dict[str, list[str]] = {}
        self.closed: dict[str, str] = {}
        """Knob → why it is not tried any more."""

    def ask(self, trials: Sequence[Trial], taken: Collection[Config] = ()) -> Proposal | None:
        """The next configuration that was not tried yet; None when there is nothing left to try.

        `taken` are those that others are trying now.
        """
        for proposal in expert.tries(self._space, trials):
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
