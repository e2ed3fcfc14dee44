"""Timing of the search for trained modules: at the first steps, and again when the script creates new ones."""

from __future__ import annotations

import functools

from ..base import dynamo
from .clock import StepClock
from .roots import MAX_LEVELS, Roots
from .steps import Steps

BLIND_BACKWARDS = 3
"""Backwards in a row without a forward that show that the model was created after the search."""
MAX_SEARCHES = 8
"""Maximum searches. Each visits every object of the process (10 to 200 ms), so a script that creates models forever is
not followed."""


class RootSearch:
    """Root search at every step."""

    def __init__(self, clock: StepClock, roots: Roots, steps: Steps) -> None:
        self._clock = clock
        self._roots = roots
        self._steps = steps
        self._searches = 0
        self._tries = 0
        """Remaining tries of the current search; 0 when it is over."""
        self._sought_at = -1
        self._adopted_seen = 0
        self._changes_seen = 0

    def before_step(self) -> None:
        """Search if needed before any optimizer's step, which shows whose parameters are trained."""
        steps = self._steps
        changed = steps.adopted != self._adopted_seen or steps.main_changes != self._changes_seen
        blind = steps.blind_backwards >= BLIND_BACKWARDS and self._searches < MAX_SEARCHES
        if changed or self._tries or blind or not self._searches:
            self._clock.exclude(functools.partial(dynamo.without_dynamo, self._search))

    def _search(self) -> None:
        owned, main = self._steps.owned_parameters(), self._steps.main_parameters()
        wanted = not self._searches or (not self._tries and self._steps.blind_backwards >= BLIND_BACKWARDS)
        if self._steps.adopted != self._adopted_seen or self._steps.main_changes != self._changes_seen:
            # A new optimizer on a known model needs no search.
            wanted = wanted or not self._roots.covers(self._steps.newest_parameters())
            self._adopted_seen, self._changes_seen = self._steps.adopted, self._steps.main_changes
            self._roots.judge(owned, main)
        if wanted and self._searches < MAX_SEARCHES:
            self._steps.blind_backwards = 0
            self._searches += 1
            self._tries = MAX_LEVELS
            self._sought_at = self._clock.updates
            self._roots.seek(owned, main)
        elif self._tries and self._clock.updates > self._sought_at:  # wrapped modules need an update to be called
            self._sought_at = self._clock.updates
            self._tries -= 1
            if not self._roots.descend(owned, main) or not self._tries:
                self._tries = 0
                self._roots.drop_silent()
