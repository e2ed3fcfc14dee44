"""Choice of the next configuration: first the expert's, then those of Optuna's TPE; and the knobs no longer tried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from ..types import Config, SettingValue, Skipped, Trial
from . import expert
from .expert import Limit, Proposal
from .goals import Goal
from .space import Space
from .tpe import Sampler

MOST_SUGGESTIONS = 20
"""Times that the sampler may repeat tried configurations before the search is over."""
STRIKES = 2
"""Times that a knob may break the script before it is closed: once may have been the value's fault."""
BREAKS = ("crash", "hang", "nan", "refused")
"""Outcomes that count against a knob; running out of memory counts against a size."""


class Proposer:
    """Ask-and-tell proposer. The trials told are the truth; the study in memory only serves the sampler."""

    def __init__(self, space: Space, goal: Goal | None = None) -> None:
        self._space = space
        self._goal = goal or Goal()
        self._sampler = Sampler(space, self._goal)
        self._tried: set[Config] = {Config()}
        self._sound: set[str] = set()
        self._strikes: dict[str, list[str]] = {}
        self._broken: list[frozenset[tuple[str, SettingValue]]] = []
        """Settings that fail together, though each works with others, or that this script cannot take at all: no larger
        set with them is tried."""
        self.closed: dict[str, str] = {}
        """Knob → reason why it is no longer tried."""

    def ask(
        self,
        trials: Sequence[Trial],
        claimed: Collection[Config] = (),
        limit: Limit | None = None,
        again: Collection[Config] = (),
    ) -> Proposal | None:
        """Return the next configuration that was not tried yet; None if there is nothing left to try.

        `claimed` are the configurations that others are trying now, and `again` those whose processes were killed;
        `limit` is what limits the best so far.
        """
        for config in again:
            if self._claim(config, claimed):
                return Proposal(config=config, reason="queued again: the process that ran it has ended")
        admitted = [trial for trial in trials if trial.ratio is None or self._goal.admits(trial.ratio)]
        for proposal in expert.tries(self._space, admitted, limit):
            if self._claim(proposal.config, claimed):
                return proposal
        return self._sampled(claimed, {*self.closed, *expert.not_beside_a_clear_gain(self._space, admitted)})

    def withdraw(self, config: Config) -> None:
        """Take a proposal back that is run elsewhere: should that process be killed, it may be proposed again."""
        self._tried.discard(config)

    def open(self, space: Space, trials: Sequence[Trial]) -> None:
        """Go on in a larger space, with what is known from the trials."""
        self._space = space
        self._sampler = Sampler(space, self._goal)
        for trial in trials:
            self._sampler.tell(trial)

    def tell(self, trial: Trial, *, broke: bool = True) -> None:
        """Record a configuration's outcome, from which TPE learns. `broke`: a failure counts against the knobs, too."""
        self._tried.add(trial.config)
        self._sampler.tell(trial)
        names = [name for name, _value in trial.config.settings]
        if trial.ratio is not None:
            self._sound.update(names)
        elif broke and trial.outcome.kind in BREAKS:
            self._blame(trial, names)

    def importances(self, trials: Sequence[Trial]) -> Mapping[str, float]:
        """Return knob → its share of the spread between the trials; empty if they are too few."""
        return self._sampler.importances(trials)

    def newly_closed(self) -> list[Skipped]:
        """Return knobs that broke the script too often, with the reason."""
        return [Skipped(what=name, why=why) for name, why in self.closed.items()]

    def _blame(self, trial: Trial, names: Sequence[str]) -> None:
        """Count a failure; among several settings only those that never worked are blamed."""
        impossible = _refused_alone(trial)
        if impossible is not None:
            self._broken.append(frozenset([impossible]))
        suspects = [name for name in names if len(names) == 1 or name not in self._sound]
        # What is refused stays refused with more settings beside it; one alone may only need another.
        if not suspects or (trial.outcome.kind == "refused" and len(names) > 1):
            self._broken.append(frozenset(trial.config.settings))
        for name in suspects:
            failures = self._strikes.setdefault(name, [])
            failures.append(f"{trial.outcome.kind}: {trial.outcome.message}")
            if len(failures) >= STRIKES and name not in self.closed:
                often = Counter(failures).most_common(1)[0][0]
                refused = all(failure.startswith("refused: ") for failure in failures)
                verb = "was refused" if refused else "broke the script"
                self.closed[name] = f"it {verb} {len(failures)} times ({often})"

    def _claim(self, config: Config, claimed: Collection[Config]) -> bool:
        if config in self._tried or config in claimed or any(name in self.closed for name, _value in config.settings):
            return False
        if any(broken <= set(config.settings) for broken in self._broken):
            return False
        self._tried.add(config)
        return True

    def _sampled(self, claimed: Collection[Config], left_out: Collection[str]) -> Proposal | None:
        if len(self._tried) >= self._space.size:
            return None
        for _ in range(MOST_SUGGESTIONS):
            suggested = self._sampler.suggest()
            kept = Config.of({name: value for name, value in suggested.settings if name not in left_out})
            config = self._space.possible(kept)
            if self._claim(config, claimed):
                return Proposal(config=config, reason="suggested by TPE from the trials so far", sampled=True)
        return None


def _refused_alone(trial: Trial) -> tuple[str, SettingValue] | None:
    """Return the setting that the script cannot take, whatever stands beside it; None if another has to do with it."""
    message = trial.outcome.message
    for name, value in trial.config.settings:
        others = [other for other, _value in trial.config.settings if other != name]
        if trial.outcome.kind == "refused" and message.startswith(f"{name}={value}: "):
            return None if any(other in message for other in others) else (name, value)
    return None
