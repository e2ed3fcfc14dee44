"""Seconds that the parts of a search need, by its pace and by the windows that were run, and those left beside them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from .. import knobs
from ..analysis.pace import Pace
from ..types import Config
from . import time_plan
from .knowledge import Knowledge
from .steps import clear_gain
from .windows import paced

TRIES_A_KNOB = 3
"""Tries of a knob: alone, and two values more beside the best."""
LONG_TRIAL_FRACTION = 0.3
"""Fraction of the tries that a short trial leaves open."""
SETTINGS_OF_A_WINNER = 3
"""Typical number of settings that gain; the last windows remove them one at a time."""


@dataclass(kw_only=True)
class TimeNeeded:
    """Seconds that trials, finals and ablation need; those of windows follow what windows have really taken."""

    known: Knowledge
    budget_s: float | None
    """The user's budget; None if the search takes what it needs to decide."""
    left_s: Callable[[], float]
    start_up_s: float = 0.0
    """Seconds from a start of the script to its first update."""
    begun_s: float = math.inf
    """Time that was left when the trials began."""
    _dearer: list[float] = field(default_factory=list, init=False)
    """Actual over planned time of the windows of each trial so far."""

    def pace(self, update_s: float, stretch: float) -> Pace:
        """Return a pace that leaves time for every knob's tries with their long trials, the finals and the ablation."""
        available_s = math.inf if self.budget_s is None else self.left_s() - self.starts_s
        return paced(
            update_s, self.known.settings, available_s=available_s, windows=self._windows_of_all, stretch=stretch
        )

    @property
    def trial_count(self) -> int:
        """Number of trials of which the time is known."""
        return len(self._dearer)

    def saw_trial(self, taken_s: float, pace: Pace) -> None:
        """Learn from the time of a trial, its window and the one beside it."""
        self._dearer.append(taken_s / (2 * pace.cost_s))

    @property
    def dearer(self) -> float:
        """Actual over planned time of a window, at least 1: workers must start, caches fill."""
        return max(1.0, statistics.median(self._dearer) if self._dearer else 1.0)

    def window_s(self, pace: Pace) -> float:
        """Return a window's total time by those already run."""
        return pace.cost_s * self.dearer

    @property
    def _windows_of_all(self) -> float:
        """Expected number of windows of all trials, the finals and the ablation, each beside one of the baseline."""
        settings, count = self.known.settings, len(self.known.space.knobs)
        tries = TRIES_A_KNOB * count + 2  # two combinations: the knobs that keep the training, and all
        trial_count = tries * (1 + LONG_TRIAL_FRACTION * settings.long_window_s / settings.window_s)
        finals = settings.final_rounds * (settings.finalists + 1)
        return 2 * (trial_count + finals + min(count, SETTINGS_OF_A_WINNER) + 0.5)

    @property
    def starts_s(self) -> float:
        """Expected seconds for starts of the script, for the settings that need their own."""
        started = sum(min(2, len(knob.values)) for knob in self.known.space.knobs if knob.scope == "launch")
        return 2 * started * self.start_up_s

    def all_s(self, pace: Pace) -> float:
        """Return the expected seconds of everything between the profile and verification."""
        set_up_s = sum(TRIES_A_KNOB * knobs.get(knob.id).set_up_s for knob in self.known.space.knobs)
        return self._windows_of_all * pace.cost_s + self.starts_s + set_up_s

    def rest_s(self, pace: Pace) -> float:
        """Return the same for what is left after the trials so far, by the time that their windows have taken."""
        windows = max(0.0, self._windows_of_all - 2 * len(self._dearer))
        return windows * self.window_s(pace) + self.starts_s

    # --- the end of the search ------------------------------------------------------------------------------------

    def finalists(self, pace: Pace) -> list[Config]:
        """Return the finalists that are measured again: fewer where that would delay the proof of a clear gain.

        Under a budget the best of them stays: there may be no time for a proof.
        """
        found = self.known.finalists()
        if not self._hurries or len(found) * self._final_s(pace) <= self._most_again_s:
            return found
        count = int(self._most_again_s / self._final_s(pace))
        return found[: count if self.budget_s is None else max(1, count)]

    def ablation_s(self, config: Config, pace: Pace) -> float:
        """Return the seconds of one round of the ablation."""
        return (2 * len(config.settings) + 1) * self.window_s(pace) if len(config.settings) > 1 else 0.0

    def has_time_for_ablation(self, config: Config, pace: Pace) -> bool:
        """Return whether it is worth its time before the proof."""
        return not self._hurries or self.ablation_s(config, pace) <= self._most_again_s

    def spare_s(self, pace: Pace) -> float:
        """Return the time left beside the finals and the ablation; all for the first trial.

        A trial may add a finalist, for which time is kept unless a gain is clear already.
        """
        if len(self.known.trials) <= 1:
            return self.left_s()
        candidates, count = self.known.finalists(), len(self.finalists(pace))
        count = count if self._hurries else min(count, self.known.settings.finalists) + 1
        best = candidates[0] if candidates else Config()
        ablation_s = self.ablation_s(best, pace) if self.has_time_for_ablation(best, pace) else 0.0
        return self.left_s() - self._final_s(pace) * count - ablation_s

    @property
    def _hurries(self) -> bool:
        """True if a clear gain waits for its proof, or for what may be better."""
        return clear_gain(self.known.best) is not None

    @property
    def _most_again_s(self) -> float:
        return min(time_plan.MOST_AGAIN_S, time_plan.MOST_AGAIN_FRACTION * self.begun_s)

    def _final_s(self, pace: Pace) -> float:
        """Return the seconds of all rounds of one finalist."""
        return 2 * self.window_s(pace) * self.known.settings.final_rounds
