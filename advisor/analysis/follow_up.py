"""Short profile of the best configuration so far, so that the rules say what limits it now.

Its windows are those of a profile, with these settings, and are read in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .. import knobs, wire
from ..enough import WARM_UP_UPDATES
from ..runtime.session_result import SessionResult
from ..types import Config, Evidence, Hardware, Workload
from ..wire import WindowRole
from . import assembly, profile_plan
from .counted import SAMPLER_HZ
from .pace import WINDOW_S, Pace

FIRST_S = 1.5
"""Least length of the window that phases and lines are read from: fast updates say enough in it."""
ROUNDS = (2, 1, 0)
"""Windows of each what-if, the most thorough first; without any, the shares of phases and lines say what limits."""
OVERHEAD_S = 0.5
"""Seconds for the trace and the end of an epoch beside their updates."""


@dataclass(frozen=True, kw_only=True)
class FollowUp:
    """Windows of one configuration, each under its name in a profile of the baseline."""

    config: Config
    number: int
    windows: Sequence[wire.Window]
    update_s: float

    @classmethod
    def within(cls, most_s: float, config: Config, number: int, workload: Workload, update_s: float) -> FollowUp | None:
        """Return the most thorough plan that takes at most `most_s`; None if none does."""
        plans = (cls.of(config, number, workload, update_s, rounds) for rounds in ROUNDS)
        return next((plan for plan in plans if plan.cost_s <= most_s), None)

    @classmethod
    def of(cls, config: Config, number: int, workload: Workload, update_s: float, rounds: int) -> FollowUp:
        """Plan the windows; `update_s` is the length of its updates."""
        pace = Pace.for_update(update_s, WINDOW_S, 1)
        first = wire.Window(
            id=profile_plan.FIRST,
            role=WindowRole.PROFILE,
            natural=False,
            warm_up_updates=WARM_UP_UPDATES,
            min_updates=profile_plan.FIRST_UPDATES,
            least_updates=profile_plan.LEAST_UPDATES,
            min_s=FIRST_S,
            max_s=max(2 * FIRST_S, 2 * profile_plan.FIRST_UPDATES * update_s),
            sampler_hz=SAMPLER_HZ,
        )
        rest = profile_plan.follow_up_windows(workload, pace, rounds)
        return cls(config=config, number=number, windows=(first, *rest), update_s=update_s)

    @property
    def sent(self) -> list[wire.Window]:
        """The windows as they are run: nobody else takes them for those of the baseline."""
        return [
            replace(window, id=self._sent_id(window.id), role=WindowRole.OBSERVATION, config=self.config.as_dict())
            for window in self.windows
        ]

    @property
    def cost_s(self) -> float:
        """Return about how many seconds they take."""
        updates = sum(window.warm_up_updates + window.min_updates for window in self.windows)
        return max(sum(window.min_s for window in self.windows), updates * self.update_s) + OVERHEAD_S

    def evidence(self, result: SessionResult, hardware: Hardware, workload: Workload) -> Evidence | None:
        """Return what the windows show, as the rules read it; None if too little came back."""
        return assembly.evidence_of_windows(self._as_baseline(result), hardware, _with_settings(workload, self.config))

    def _as_baseline(self, result: SessionResult) -> SessionResult:
        """Return the session as if it had run only these windows, of the baseline."""
        named = {self._sent_id(window.id): window for window in self.windows}
        back = {sent: window for sent, window in named.items() if sent in result.outcomes}
        return SessionResult(
            outcomes={window.id: replace(result.outcomes[sent], id=window.id) for sent, window in back.items()},
            windows={window.id: window for window in back.values()},
            script_run_of={window.id: result.script_run_of[sent] for sent, window in back.items()},
            script_runs=result.script_runs,
        )

    def _sent_id(self, name: str) -> str:
        return f"limit {self.number} {name}"


def _with_settings(workload: Workload, config: Config) -> Workload:
    for name, value in config.settings:
        workload = knobs.get(name).described(workload, value)
    return workload
