"""Timing of the search for trained modules: at the first steps, and again when the script creates new ones.

A script may create a model for each client, fold or member of an ensemble. Those are found in the frames that step
their optimizer; only if they are not, every object of the process is visited again.
"""

from __future__ import annotations

import functools
import sys
from types import FrameType
from typing import TYPE_CHECKING

from ..base import dynamo
from .clock import StepClock
from .frames import USER, Frames
from .roots import MAX_LEVELS, Roots
from .steps import Steps

if TYPE_CHECKING:
    from torch import nn

BLIND_BACKWARDS = 3
"""Backwards in a row without a forward that show that the model was created after the search."""
MAX_SEARCHES = 8
"""Maximum searches. Each visits every object of the process (10 to 200 ms), so a script that creates models forever is
not followed where the frames do not show them."""
MOST_FRAMES = 8
"""Frames of the user's own that are looked at, from the optimizer's step outwards."""


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
        self._frames = Frames()

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
            newest = self._steps.newest_parameters()
            followed = self._roots.training_forwards > 0  # those made later are called as the first ones were
            known = self._roots.covers(newest) or (followed and self._roots.take(self._near(), newest, owned, main))
            wanted = wanted or not known
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

    def _near(self) -> list[nn.Module]:
        """Return the modules that the user's frames hold by name, or in an object of theirs (`self.model`)."""
        import torch

        frame: FrameType | None = sys._getframe(1)
        found: dict[int, nn.Module] = {}
        looked = 0
        while frame is not None and looked < MOST_FRAMES:
            if self._frames.owner(frame.f_code.co_filename) == USER:
                looked += 1
                held = list(frame.f_locals.values())
                for name in ("self", "cls"):
                    held += list(getattr(frame.f_locals.get(name), "__dict__", {}).values())
                found.update((id(item), item) for item in held if issubclass(type(item), torch.nn.Module))
            frame = frame.f_back
        return list(found.values())
