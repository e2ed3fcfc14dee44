"""Baseline window without its warm-up: the one place where updates are cut from the start of a window."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from .. import stats, wire
from ..types import OFF_STEP, PHASES

MOST_APART = 2.0
"""Factor between the typical updates of two windows of the baseline, above which the loop has no steady state."""
SAMPLER_HZ = 50.0
"""Sampling rate of the lines, which costs about half a percent of a core."""


class Counted:
    """Baseline window without its warm-up; everything else reads from here."""

    def __init__(self, done: wire.WindowDone, others: Sequence[wire.WindowDone] = ()) -> None:
        """Read the window; `others` are the later windows of the baseline, which must be of its level.

        The agent has let the script settle, so no update must be cut. Where no steady state is found, all are kept.
        """
        found = stats.mser5(done.wall_s, minimum_cut=0)
        at = found.cut if found.steady else 0
        self.done = done
        self.cut = at
        self.steady = found.steady and _same_level(done.wall_s[at:], others)
        self.wall_s = done.wall_s[at:]
        self.phases_s = {name: done.phases_s.get(name, [])[at:] for name in PHASES}
        self.off_step_s = {name: done.off_step_s.get(name, [])[at:] for name in OFF_STEP}
        self.micro_steps = done.micro_steps[at:]
        self.samples = done.samples[at:]
        self.updates = len(self.wall_s)
        sums = done.loader
        self.batches_per_update = sums.batches / len(done.wall_s) if sums is not None and sums.batches else None
        """Batches delivered for an update: a backward may have none of its own, or several."""
        self.batches = self.batches_per_update or sum(self.micro_steps) / self.updates or 1.0
        """The same, by the backwards of an update where no loader delivered any."""
        self.loop_s = sum(self.wall_s)
        self.in_step_s = [sum(values) for values in zip(*self.phases_s.values(), strict=True)]

    @property
    def share_error(self) -> float | None:
        """Half the width of the 95% interval of the least certain share of the loop's time; None for a single update.

        A phase scatters from update to update; a line is known as well as a share of so many samples can be.
        """
        if self.updates < 2 or self.loop_s <= 0:
            return None
        columns = [values for values in (*self.phases_s.values(), *self.off_step_s.values()) if any(values)]
        shares = [stats.rate_interval(values, self.wall_s) for values in columns if len(values) == self.updates]
        phases = max((share.high - share.value for share in shares), default=0.0)
        return max(phases, stats.widest_share_error(SAMPLER_HZ * self.loop_s))


def _same_level(wall_s: Sequence[float], others: Sequence[wire.WindowDone]) -> bool:
    """Return whether the windows of the baseline, half of them at least, are within a factor of two of these updates.

    A few long updates in a row, while other programs hold the CPUs, agree with each other as well as steady ones do.
    """
    levels = [statistics.median(other.wall_s) for other in others if other.wall_s]
    ratio = statistics.median(levels) / statistics.median(wall_s) if levels and wall_s else 1.0
    return 1 / MOST_APART <= ratio <= MOST_APART
