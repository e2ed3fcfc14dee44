"""Reasons why a search tries no more, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..runtime.session_result import SessionResult
from ..types import Config

IDLE_SUGGESTIONS = 4
"""Suggestions of the sampler in a row without a better configuration, after which a search has little left to find."""
MOST_IDLE_S = 45.0
"""The same in seconds: slow scripts, and settings that take long to set up, get fewer suggestions."""
PATIENCE_S = 300.0
"""Seconds of trials in a row without a better configuration, whatever proposed them, times the speed-up of a clear
gain: at 20 times the speed, all that is left to gain is a twentieth of the training."""


@dataclass
class Idle:
    """Trials in a row that found nothing better."""

    trials: int = 0
    seconds: float = 0.0
    suggestions: int = 0
    """Those in a row that the sampler proposed."""
    suggestions_s: float = 0.0
    gain: float | None = None
    """Speed-up of the best so far, if it is clear."""

    def saw(self, *, better: bool, sampled: bool, spent_s: float, gain: float | None) -> None:
        """Count a trial that took `spent_s`; `gain` is the speed-up of the best so far, if it is clear."""
        self.gain = gain
        self.trials, self.seconds = (0, 0.0) if better else (self.trials + 1, self.seconds + spent_s)
        in_vain = sampled and not better
        self.suggestions = self.suggestions + 1 if in_vain else 0
        self.suggestions_s = self.suggestions_s + spent_s if in_vain else 0.0

    @property
    def is_enough(self) -> bool:
        return self.suggestions >= IDLE_SUGGESTIONS or self.suggestions_s >= MOST_IDLE_S or self._proof_is_due

    @property
    def _proof_is_due(self) -> bool:
        return self.gain is not None and self.seconds >= patience_s(self.gain)

    def __str__(self) -> str:
        if self._proof_is_due and self.gain is not None:
            several = f"{self.trials} trials in a row" if self.trials > 1 else "a trial"
            return f"{several} found nothing better than {self.gain:.3g} times the speed"
        several = f"{self.suggestions} suggestions in a row" if self.suggestions > 1 else "a suggestion"
        return f"{several} found nothing better"


def patience_s(gain: float) -> float:
    """Return the seconds that may pass without a step forward before a clear gain of this size is proven."""
    return PATIENCE_S / gain


def no_time(left_s: float, trial_s: float) -> str:
    """Describe a search that has no time for another trial, which takes `trial_s`."""
    return f"{_left(left_s)}: a trial takes about {trial_s:.0f} s, and the rest is for measuring the best again"


def nothing_left(unaffordable: Sequence[Config], left_s: float) -> str:
    """Describe a search that has nothing more to try, but what it cannot afford."""
    if not unaffordable:
        return f"nothing that is worth a trial was left to try; {_left(left_s)}"
    several = f"{len(unaffordable)} configurations need" if len(unaffordable) > 1 else f"{unaffordable[0]} needs"
    return f"{several} more time or more starts of the script than there were; {_left(left_s)}"


def cut_short(result: SessionResult, most_script_runs: int, left_s: float) -> str:
    """Describe a search whose session ended before its plan did."""
    failure = result.script_runs[-1].failure if result.script_runs else None
    if failure is not None and not result.deadline_hit:
        return f"the script did not go on: {failure.message}; {_left(left_s)}"
    if len(result.script_runs) >= most_script_runs:
        return f"the script was started {len(result.script_runs)} times, as it ended each time; {_left(left_s)}"
    return f"the time ended before a trial did; {_left(left_s)}"


def _left(left_s: float) -> str:
    return f"{max(0.0, left_s):.0f} s were left"
