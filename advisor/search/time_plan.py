"""Time that a search takes to decide, if the user has set no budget: planned once the profile is known."""

from __future__ import annotations

from dataclasses import dataclass

from .. import enough
from ..plural import plural

LEAST_PROFILE_S = 45.0
"""Time of the profile for fast updates; slow ones get what a judgement on them needs."""
MOST_PROFILE_S = 600.0
MOST_SEARCH_S = 600.0
MOST_VERIFICATION_S = 600.0
"""Limits that keep a plan within half an hour; somebody who has more time says so with a budget."""
UNPLANNED_S = MOST_PROFILE_S + MOST_SEARCH_S
"""Time until the plan is made."""
SURPLUS = 1.25
"""Planned over estimated time of the trials: workers start, caches fill, and some windows are repeated."""
AGAIN_AFTER = (1, 3, 6)
"""Trials after which the time is planned again, by the time that their windows have really taken."""
MOST_AGAIN_S = 45.0
"""Most time for measuring finalists again, and for removing their settings one at a time, where a gain is clear: fresh
processes measure it better, and another trial may find more."""
MOST_AGAIN_FRACTION = 0.25
"""The same as a fraction of the time that the trials had."""
USUAL_ROUNDS = 3
"""Rounds of fresh processes that decide most gains, for the announced end; the plan has time for all of them."""


def profile_s(update_s: float) -> float:
    """Return the seconds for a profile of updates of this length."""
    if enough.updates_needed(update_s, steady=False) == enough.MIN_UPDATES_UNSTEADY:
        return LEAST_PROFILE_S
    return min(MOST_PROFILE_S, max(LEAST_PROFILE_S, enough.budget_s(update_s)))


@dataclass(frozen=True, kw_only=True)
class TimePlan:
    """Time for the trials, and for verification."""

    knobs: int
    search_s: float
    verification_s: float
    expected_s: float
    """Likely duration of both together."""

    @classmethod
    def of(cls, *, knobs: int, trials_s: float, round_s: float, rounds: int, verify: bool) -> TimePlan:
        """Plan for trials that are estimated at `trials_s`, and verification rounds of `round_s` each."""
        search_s = min(MOST_SEARCH_S, SURPLUS * trials_s)
        verification_s = min(MOST_VERIFICATION_S, rounds * round_s) if verify else 0.0
        return cls(
            knobs=knobs,
            search_s=search_s,
            verification_s=verification_s,
            expected_s=min(trials_s, search_s) + min(verification_s, USUAL_ROUNDS * round_s),
        )

    def __str__(self) -> str:
        return f"{plural(self.knobs, 'setting')} to try, about {_minutes(self.expected_s)} to go"


def _minutes(seconds: float) -> str:
    return f"{max(1, round(seconds / 10)) * 10} s" if seconds < 120 else f"{round(seconds / 60)} min"
