"""How much must be measured before it carries a judgement, and the budget in which so much fits."""

from __future__ import annotations

import math

MIN_UPDATES = 10
"""Steady updates below which a share is an anecdote (the shortest window that a verification would accept)."""
MIN_LONG_UPDATES = 5
"""The same where the updates together last MIN_LONG_S: a long update is itself an average of many operators."""
MIN_LONG_S = 5.0
MIN_UPDATES_UNSTEADY = 30
"""Updates from which a mean is used although no steady state was found: loops whose batches differ in length never
settle."""
MIN_LONG_UPDATES_UNSTEADY = 10
"""The same where the updates together last MIN_LONG_UNSTEADY_S."""
MIN_LONG_UNSTEADY_S = 15.0

USUAL_BUDGET_S = 30.0
"""Of a profile."""
FIRST_WINDOW_FRACTION = 0.3
"""Of a budget, that may go to the updates as written from which everything else is read."""
WARM_UP_UPDATES = 3
LEAST_ADVISED_S, ADVISED_STEP_S = 60.0, 30.0


def too_few_updates(updates: int, update_s: float, steady: bool) -> str | None:
    """Why so many updates of that length do not carry a judgement about shares of time; None where they do."""
    long = updates >= MIN_LONG_UPDATES and updates * update_s >= MIN_LONG_S
    if updates < MIN_UPDATES and not long:
        return f"{updates} steady updates were counted and {MIN_UPDATES} are needed; let the script run longer"
    needed = _updates_unsteady(update_s)
    if not steady and updates < needed:
        return f"the time of an update had not settled after {updates} updates; {needed} are needed where it does not"
    return None


def budget_s(update_s: float) -> float:
    """A budget that is enough for updates of this length, whether they settle or not; a minute at least."""
    needed_s = (_updates_unsteady(update_s) + WARM_UP_UPDATES) * update_s / FIRST_WINDOW_FRACTION
    return max(LEAST_ADVISED_S, math.ceil(needed_s / ADVISED_STEP_S) * ADVISED_STEP_S)


def _updates_unsteady(update_s: float) -> int:
    if update_s * MIN_UPDATES_UNSTEADY <= MIN_LONG_UNSTEADY_S:
        return MIN_UPDATES_UNSTEADY
    return max(MIN_LONG_UPDATES_UNSTEADY, math.ceil(MIN_LONG_UNSTEADY_S / update_s))
