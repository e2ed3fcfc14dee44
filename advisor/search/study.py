"""A search: profile, then windows of configurations beside windows as written, then fresh windows for the finalists."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from .. import store, wire
from ..progress import SILENT, Progress
from ..session.probe import SLOW_UPDATE_S, Pace, measured, profile_plan
from ..session.session import Planner, SessionResult
from ..types import Config, Diagnosis, Hardware, Ratio, Trial, TrialOutcome, Workload
from . import scoring
from .proposals import Proposal, Proposer
from .settings import SearchSettings
from .space import KEEPS_TRAINING, Space, open_space

TRIALS_FILE = "trials.jsonl"
LEAST_WINDOW_S = 0.25


class Study:
    """What a search knows. `plan` is carried out by a session; what it leaves is read afterwards."""

    def __init__(
        self,
        *,
        result: SessionResult,
        settings: SearchSettings,
        budget_s: float,
        left_s: Callable[[], float],
        look: Callable[[], tuple[Hardware, Workload, Diagnosis] | None],
        folder: Path,
        progress: Progress = SILENT,
    ) -> None:
        self._result = result
        self._settings = settings
        self._budget_s = budget_s
        self._left_s = left_s
        self._look = look
        self._log = folder / TRIALS_FILE
        self._progress = progress
        self._epoch_samples: int | None = None
        self._workload: Workload | None = None
        self.space = Space(knobs=())
        self.trials: list[Trial] = []
        self.finals: dict[Config, Ratio] = {}
        """What fresh windows said of the finalists."""

    def plan(self, workload: Callable[[], Workload | None]) -> Planner:
        """The windows of the whole search, as they come up."""
        search_s = self._budget_s * (1 - self._settings.profile_fraction)
        yield from profile_plan(workload, lambda: self._left_s() - search_s)
        pace = self._begin()
        if pace is None or not self.space.knobs:
            return
        proposer = Proposer(self.space)
        proposer.tell(self.trials[0])
        yield [_base("base search", pace)]
        while (proposal := self._next(proposer, pace)) is not None:
            number = len(self.trials)
            yield [_window(f"trial {number}", proposal.config, pace), _base(f"base trial {number}", pace)]
            self._record(proposer, proposal, number)
        yield from self._final_windows(pace)

    # --- before ---------------------------------------------------------------------------------------------------

    def _begin(self) -> Pace | None:
        """Open the space for what the profile found; the pace of the windows, None where nothing was measured."""
        seen = self._look()
        if seen is None:
            return None
        hardware, workload, diagnosis = seen
        self.space = open_space(hardware, workload, diagnosis)
        loader = workload.train_loader
        self._epoch_samples = loader.length_samples if loader is not None else None
        base = self._newest_base()
        if base is None:
            return None
        self._record_as_written(base)
        return self._pace(sum(base.wall_s) / len(base.wall_s))

    def _newest_base(self) -> wire.WindowDone | None:
        names = [name for name in self._result.outcomes if name.startswith(("base", "as written"))]
        found = [done for name in names if (done := measured(self._result.outcomes, name)) is not None]
        return found[-1] if found else None

    def _pace(self, update_s: float) -> Pace:
        """Windows as long as wished for, or shorter, so that every knob gets its first tries and the finals theirs."""
        wanted = 2 * (2 * len(self.space.knobs) + 1) + 2 * self._settings.final_rounds * (self._settings.finalists + 1)
        settle = 3 if update_s < SLOW_UPDATE_S else 2
        room_s = self._left_s() / wanted - settle * update_s
        window_s = min(self._settings.window_s, max(LEAST_WINDOW_S, room_s))
        count = max(self._settings.least_updates, math.ceil(0.5 * window_s / update_s))
        return Pace(update_s=update_s, window_s=window_s, settle=settle, count=count)

    # --- trials ---------------------------------------------------------------------------------------------------

    def _next(self, proposer: Proposer, pace: Pace) -> Proposal | None:
        """What to try next, as long as there is time for it beside the finals."""
        finals_s = 2 * pace.cost_s * self._settings.final_rounds * len(self._finalists())
        if len(self.trials) > self._settings.most_trials or self._left_s() - finals_s < 2 * pace.cost_s:
            return None
        proposal = proposer.ask(self.trials)
        if proposal is not None:
            self._progress.stage(f"trying {told(proposal.config)}: {proposal.reason}", windows=2)
        return proposal

    def _record_as_written(self, base: wire.WindowDone) -> None:
        """Trial 0: the profile has measured it already."""
        outcome = scoring.outcome_of(self._result, base.id)
        ratio = Ratio(speedup=1.0, low=1.0, high=1.0, rounds=1)
        self._keep(Trial(number=0, config=Config(), reason="as written", tier="exact", outcome=outcome, ratio=ratio))

    def _record(self, proposer: Proposer, proposal: Proposal, number: int) -> None:
        name = f"trial {number}"
        outcome = scoring.outcome_of(self._result, name)
        ratio = scoring.ratio_of(self._result, {name}, self._epoch_samples) if outcome.kind == "measured" else None
        if outcome.kind == "measured" and ratio is None:
            outcome = TrialOutcome(kind="stopped", message="too few updates to compare")
        trial = Trial(
            number=number,
            config=proposal.config,
            reason=proposal.reason,
            tier=self.space.tier(proposal.config),
            outcome=outcome,
            ratio=ratio,
        )
        self._keep(trial)
        proposer.tell(trial)
        best = max((t for t in self.trials if t.ratio), key=_speedup, default=None)
        if best is not None and best.config.settings:
            self._progress.best(f"{_speedup(best):.2f}× with {told(best.config)}")

    def _keep(self, trial: Trial) -> None:
        self.trials.append(trial)
        store.append_record(self._log, asdict(trial))

    # --- finalists ------------------------------------------------------------------------------------------------

    def _finalists(self) -> list[Config]:
        """The most promising that keep the training, and the fastest of those that change it."""
        measured_trials = [t for t in self.trials if t.ratio and t.config.settings and _speedup(t) > 1.0]
        ranked = sorted(measured_trials, key=_speedup, reverse=True)
        kept = [t.config for t in ranked if t.tier in KEEPS_TRAINING][: self._settings.finalists]
        changed = [t.config for t in ranked if t.tier not in KEEPS_TRAINING][:1]
        return [*kept, *changed]

    def _final_windows(self, pace: Pace) -> Iterator[list[wire.Window]]:
        """Fresh windows, interleaved: the best of a search looks better than it is."""
        finalists = self._finalists()
        if finalists:
            self._progress.stage("measuring the best again", windows=2 * self._settings.final_rounds * len(finalists))
        for number in range(self._settings.most_final_rounds):
            for place, config in enumerate(finalists):
                if number >= self._settings.final_rounds and not self._needs_more(place, pace):
                    continue
                yield [
                    _window(f"final {place} {number}", config, pace),
                    _base(f"base final {place} {number}", pace),
                ]

    def _needs_more(self, place: int, pace: Pace) -> bool:
        """Whether more rounds may show that a finalist gains, or that it does not, and there is time for one."""
        ratio = self._final_ratio(place)
        if ratio is None or self._left_s() < 2 * pace.cost_s:
            return False
        floor = 1 + self._settings.floor
        return ratio.low <= 1.0 and ratio.high >= floor

    def _final_ratio(self, place: int) -> Ratio | None:
        ids = {f"final {place} {number}" for number in range(self._settings.most_final_rounds)}
        return scoring.ratio_of(self._result, ids, self._epoch_samples)

    def conclude(self) -> None:
        """Read the fresh windows, as many of them as the time allowed; called once the session has ended."""
        if not self.trials:
            self._begin()  # the time was up within the profile: what that saw is told all the same
        for place, config in enumerate(self._finalists()):
            ratio = self._final_ratio(place)
            if ratio is not None:
                self.finals[config] = ratio
                store.append_record(self._log, {"final": asdict(config), "ratio": asdict(ratio)})


def told(config: Config) -> str:
    """`num_workers=2, precision=bf16`; "the script as written" where nothing is set."""
    return ", ".join(f"{name}={value}" for name, value in config.settings) or "the script as written"


def _speedup(trial: Trial) -> float:
    return trial.ratio.speedup if trial.ratio is not None else 0.0


def _base(name: str, pace: Pace) -> wire.Window:
    return _window(name, Config(), pace)


def _window(name: str, config: Config, pace: Pace) -> wire.Window:
    return wire.Window(
        id=name,
        config=config.as_dict(),
        natural=False,
        warm_up_updates=pace.settle,
        min_updates=pace.count,
        min_s=pace.window_s,
        max_s=4 * pace.cost_s + 2.0,
    )
