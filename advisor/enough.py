"""The amount of measurement that supports a judgement, and the budget in which it fits.

Silence needs a number of updates that are alike. A share that stands out needs only an interval that keeps it so.
"""

from __future__ import annotations

import math

MIN_UPDATES = 10
"""Steady updates below which a share is an anecdote; also the shortest window that a verification accepts."""
MIN_LONG_UPDATES = 5
"""The same where the updates together last MIN_LONG_S: a long update already averages many operators."""
MIN_LONG_S = 5.0
MIN_UPDATES_UNSTEADY = 30
"""Updates from which a mean is used without a steady state: loops whose batches differ in length never settle."""
MIN_SHARE_UPDATES = 3
"""Updates from which the interval of a share is believed: two that agree by chance have an interval of no width."""
MIN_LONG_UPDATES_UNSTEADY = 10
"""The same where the updates together last MIN_LONG_UNSTEADY_S."""
MIN_LONG_UNSTEADY_S = 15.0

USUAL_BUDGET_S = 30.0
"""Usual budget of a profile."""
FIRST_WINDOW_FRACTION = 0.3
"""Fraction of a budget that may go to the baseline updates, from which everything else is read."""
WARM_UP_UPDATES = 3
LEAST_ADVISED_S, ADVISED_STEP_S = 60.0, 30.0


def too_few_updates(updates: int, update_s: float, steady: bool) -> str | None:
    """Return why so few updates of that length cannot support a judgement about shares of time; None if they can."""
    if updates < updates_needed(update_s, steady=True):
        return f"{updates} steady updates were counted, and {MIN_UPDATES} are needed: let the script run longer"
    needed = updates_needed(update_s, steady=False)
    if not steady and updates < needed:
        return (
            f"the time of an update had not settled after {updates} updates; without steady updates {needed} are needed"
        )
    return None


def updates_needed(update_s: float, *, steady: bool) -> int:
    """Return how many updates of that length support a judgement about shares of time."""
    few, usual, long_s = MIN_LONG_UPDATES, MIN_UPDATES, MIN_LONG_S
    if not steady:
        few, usual, long_s = MIN_LONG_UPDATES_UNSTEADY, MIN_UPDATES_UNSTEADY, MIN_LONG_UNSTEADY_S
    return usual if usual * update_s <= long_s else max(few, math.ceil(long_s / update_s))


def stands_out(share: float, share_error: float | None, updates: int, least: float) -> bool:
    """Return whether the share of the time is at least `least` at the low end of its interval, however few updates."""
    return updates >= MIN_SHARE_UPDATES and share_error is not None and share - share_error >= least


def budget_s(update_s: float) -> float:
    """Return a budget that is enough for updates of this length, whether they settle or not; at least a minute."""
    needed_s = (updates_needed(update_s, steady=False) + WARM_UP_UPDATES) * update_s / FIRST_WINDOW_FRACTION
    return max(LEAST_ADVISED_S, math.ceil(needed_s / ADVISED_STEP_S) * ADVISED_STEP_S)
