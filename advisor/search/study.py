"""A search: profile, then windows of configurations beside baseline windows, then fresh windows for the finalists."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from .. import knobs, rules, wire
from ..analysis import fixes, noise_window
from ..analysis.follow_up import FollowUp
from ..analysis.pace import Pace
from ..analysis.profile_plan import first_baseline, profile_plan
from ..analysis.setting_windows import epoch_end_window, window
from ..runtime.session import BASELINE_SETUP, InScriptRun, Planner, Setup
from ..target.script_options import command_line
from ..types import Config, Trial, Workload
from ..wire import WindowRole
from . import ablation, ending, time_plan
from .expert import Proposal
from .knowledge import Knowledge
from .profile_summary import ProfileSummary
from .search_request import SearchRequest
from .space import Space, open_space, widened
from .steps import clear_gain
from .time_needed import TimeNeeded
from .windows import baseline_window, in_fresh_process, longer

LAUNCH_ROUNDS = 1
"""Rounds of the finals for settings that need their own script run: verification adds their fresh processes."""
SCRIPT_RUNS_KEPT = 3
"""Starts of the script left for a trial in its own script run: that run, the one after it, and one if a script ends."""
RESTARTS_MATTER = 0.02
"""Fraction of the loop from which trials see a start of their loader: less is the floor of every comparison."""
STEP = 1.15
"""Speed-up over what was diagnosed last, from which the best so far is diagnosed: less moves no bottleneck."""
FOLLOW_UP_FRACTION = 0.25
"""Largest fraction of the spare time for the windows of one diagnosis."""


@dataclass(kw_only=True)
class Study:
    """The plan of a search, which a session carries out; its findings in `known` can be read at any time."""

    known: Knowledge
    budget_s: float | None
    """The user's budget; None if the search takes what it needs to decide."""
    left_s: Callable[[], float]
    read_profile: Callable[[], ProfileSummary | None]
    request: SearchRequest = field(default_factory=SearchRequest)
    resumes: bool = False
    """It resumes another search, whose profile is not run again."""
    reserve: Callable[[], float] = lambda: 0.0
    """Called once, after the first updates: reserves time for the work after the search, and returns it (seconds)."""
    release: Callable[[], float] = lambda: 0.0
    """Called if there is nothing to verify: gives back what the verification will not need (seconds)."""
    allow: Callable[[float], None] = lambda _trials_s: None
    """Called before the trials with the seconds that they need, if there is no budget; and again if they need more."""
    _summary: ProfileSummary | None = field(default=None, init=False)
    _diagnosed: float = field(default=1.0, init=False)
    """Speed-up of the configuration that was diagnosed last."""
    _setup: Setup = field(default=BASELINE_SETUP, init=False)
    """Setup of the present script run."""
    _evaluated: set[Config] = field(default_factory=set, init=False)
    """Settings of the evaluation that an epoch's end has shown."""
    ended: str = field(default="", init=False)
    """Why nothing more was tried, with the time that was left."""
    _unaffordable: list[Config] = field(default_factory=list, init=False)
    """Proposals that there was no time for, or no start of the script."""

    def __post_init__(self) -> None:
        self._needed = TimeNeeded(known=self.known, budget_s=self.budget_s, left_s=self.left_s)
        self._result, self._settings, self._progress = self.known.result, self.known.settings, self.known.progress

    @property
    def space(self) -> Space:
        return self.known.space

    @property
    def trials(self) -> list[Trial]:
        return self.known.trials

    def plan(self, workload: Callable[[], Workload | None]) -> Planner:
        """Yield the windows of the whole search, as they come up."""
        if not self.resumes:
            yield from self._profile(workload)
        pace = self._begin()
        if pace is None or self.request.dry_run or not self.space.knobs:
            return
        if self.resumes:
            self.reserve()
        self.known.prepare()
        if self.budget_s is None:
            self.allow(self._needed.all_s(pace))
        yield [baseline_window("search", in_fresh_process(pace) if self.resumes else pace)]
        self.known.saw_baseline()
        self._needed.begun_s = self.left_s()
        yield from self._trials(pace)
        if not self.known.has_promise and self.release() > 0:  # there is nothing to verify: its time is worth trials
            yield from self._trials(pace)
        if self._settings.final_rounds:
            yield from self._final_windows(pace)
            yield from self._windows_by_knob(pace)

    def conclude(self) -> None:
        """Read the fresh windows, as many as the time allowed; called once the session has ended."""
        if not self.trials:
            self._begin()  # the time ended within the profile: its results are reported all the same
        if not self.ended and self.space.knobs and not self.request.dry_run:
            self.ended = ending.cut_short(self._result, self._settings.max_script_runs, self.left_s())
        self.known.read_finals()

    # --- before ---------------------------------------------------------------------------------------------------

    def _profile(self, workload: Callable[[], Workload | None]) -> Planner:
        """Yield the profile's windows; reserve time for the work after the search once the script's pace is known."""
        reserved_s: list[float] = []

        def known() -> Workload | None:
            if not reserved_s:
                reserved_s.append(self.reserve())
            return workload()

        def left_s() -> float:
            if self.budget_s is None:
                return time_plan.profile_s(self._update_s()) - (time_plan.UNPLANNED_S - self.left_s())
            searching_s = self.budget_s - sum(reserved_s)
            return self.left_s() - searching_s * (1 - self._settings.profile_fraction)

        yield from profile_plan(known, left_s, patient=self.budget_s is None)
        if self.request.noise_scale and (found := self.read_profile()) is not None:
            yield from noise_window.plan(found.workload, found.hardware, found.update_s, self.left_s())

    def _update_s(self) -> float:
        """Return the typical length of the baseline's updates as far as it is known."""
        first = first_baseline(self._result.outcomes)
        return statistics.median(first.wall_s) if first is not None else 0.0

    def _begin(self) -> Pace | None:
        """Open the space for the profile's findings; return the pace of the windows, None if nothing was measured."""
        summary = self.read_profile()
        if summary is None:
            return None
        request, line = self.request, None
        if request.command is not None:
            line = command_line(
                summary.hardware, summary.workload, request.command, request.mapped, summary.samples_per_backward
            )
        space = open_space(
            summary.hardware,
            summary.workload,
            summary.diagnosis,
            request.selection,
            line,
            summary.computing_fraction,
            summary.start_up_s,
        )
        self._summary, self._needed.start_up_s = summary, summary.start_up_s
        return self._needed.pace(summary.update_s, summary.stretch) if self.known.open(summary, space) else None

    # --- trials ---------------------------------------------------------------------------------------------------

    def _trials(self, pace: Pace) -> Planner:
        """Try configurations while there is time; without a budget, until the sampler finds nothing better."""
        idle = ending.Idle()
        while not (ended := self.known.shared.ended):
            proposal = self._next(pace)
            if proposal is None and not self._waits_for_others(pace):
                return
            if proposal is None or not self.known.claim(proposal.config):
                yield []  # asked again in a moment
                continue
            best, before_s = self.known.best_score, self.left_s()
            yield from self._try(proposal, pace)
            idle.saw(
                better=self.known.best_score > best,
                sampled=proposal.sampled,
                spent_s=before_s - self.left_s(),
                gain=clear_gain(self.known.best),
            )
            self._plan_again(pace)
            yield from self._diagnose_best(pace)
            if self.budget_s is None and idle.is_enough:
                self.ended = str(idle)
                self.known.shared.end(self.ended)
                return
        self.ended = ended

    def _waits_for_others(self, pace: Pace) -> bool:
        """Return whether to wait: what others try now may lead on, or be left to this search if they are killed."""
        has_time = self._needed.spare_s(pace) >= 2 * self._needed.window_s(pace)
        waits = has_time and self.known.shared.awaited(self._progress.stage)
        if has_time and not waits and not self._unaffordable and self.known.trials_left:
            self.known.shared.end(self.ended.partition(";")[0])
        return waits

    def _plan_again(self, pace: Pace) -> None:
        """Without a budget, allow what the search needs by the time that its windows have really taken."""
        if self.budget_s is not None or self._needed.trial_count not in time_plan.AGAIN_AFTER:
            return
        needed_s = self._needed.rest_s(pace)
        if self._needed.dearer > time_plan.SURPLUS and needed_s > self.left_s():
            self.allow(needed_s)

    def _next(self, pace: Pace) -> Proposal | None:
        """Return the next configuration to try, while there is time for it beside the finals."""
        while self._needed.spare_s(pace) >= 2 * self._needed.window_s(pace):
            proposal = self.known.propose()
            if proposal is None:
                self.ended = ending.nothing_left(self._unaffordable, self.left_s())
                return None
            if self._affordable(proposal.config, pace):
                left_s = max(0.0, self.left_s())
                self._progress.stage(f"trying {proposal.config}: {proposal.reason}; {left_s:.0f} s left", windows=2)
                return proposal
            self._unaffordable.append(proposal.config)
        self.ended = ending.no_time(self.left_s(), 2 * self._needed.window_s(pace))
        return None

    def _affordable(self, config: Config, pace: Pace) -> bool:
        """Return whether there is time, and whether enough starts of the script are left."""
        for name, value in config.settings:
            if self._needed.spare_s(pace) < (set_up_s := knobs.get(name).set_up_s_for(value)):
                self.known.no_time_for(name, f"its set-up takes {set_up_s:g} s or more, and less time was left")
                return False
        starts = self._starts_for(config)
        if not starts:
            return True
        script_runs_left = self._settings.max_script_runs - len(self._result.script_runs)
        needed_s = starts * self._needed.start_up_s + 2 * pace.cost_s
        return script_runs_left >= SCRIPT_RUNS_KEPT and self._needed.spare_s(pace) >= needed_s

    def _try(self, proposal: Proposal, pace: Pace) -> Planner:
        """Run a short trial, and a long one if it may still win."""
        known, config, name = self.known, proposal.config, f"trial {self.known.number}"
        beside, second, ids = known.reference(config), longer(pace, self._settings), [name]
        before_s, in_place = self.left_s(), self._starts_for(config) == 0
        yield from self._trial_windows(name, config, beside, pace)
        if in_place and known.outcome(ids).set_up_s is None:  # a set-up is paid once, and other windows are without it
            self._needed.saw_trial(before_s - self.left_s(), pace)
        prospect = known.prospect(config, ids, beside)
        if (
            second is not None
            and prospect == "open"
            and self._needed.spare_s(second) >= 2 * self._needed.window_s(second)
        ):
            ids.append(f"{name} long")
            yield from self._trial_windows(ids[-1], config, beside, second)
        if known.setup(config) != BASELINE_SETUP and not beside.settings:
            yield self._in_script_run([baseline_window(name, in_fresh_process(pace))])
        found = known.outcome(ids)
        known.record(proposal, found, ids=ids, beside=beside, stopped=prospect == "lost" and second is not None)
        if found.kind == "nan" and known.setup(config) == BASELINE_SETUP:  # the weights are non-finite
            yield InScriptRun(windows=[baseline_window(f"{name} anew", in_fresh_process(pace))], anew=True)

    def _trial_windows(self, name: str, config: Config, beside: Config, pace: Pace) -> Planner:
        """Yield a window of a configuration, and one of what it is compared with where the same process can run it.

        Two trials share the window between them.
        """
        setup = self.known.setup(config)
        own = [window(name, WindowRole.TRIAL, config, pace if setup == self._setup else in_fresh_process(pace))]
        if self._restarts_matter(config) or self._evaluates_otherwise(config):
            own.append(epoch_end_window(name, config))
        if self._has_just_run(beside, pace, setup):
            yield self._in_script_run(own, setup)
        elif beside.settings:
            yield self._in_script_run([*own, window(f"best {name}", WindowRole.REFERENCE, beside, pace)], setup)
        elif setup == BASELINE_SETUP:
            yield self._in_script_run([*own, baseline_window(name, pace)])
        else:
            yield self._in_script_run(own, setup)

    def _has_just_run(self, beside: Config, pace: Pace, setup: Setup) -> bool:
        """Return whether the last window measured these settings, in the present process and for as long."""
        last = next(reversed(self._result.windows.values()), None)
        role = WindowRole.REFERENCE if beside.settings else WindowRole.BASELINE
        return (
            setup == self._setup
            and last is not None
            and (last.role, last.config) == (role, beside.as_dict())
            and last.min_s >= pace.window_s
            and isinstance(self._result.outcomes.get(last.id), wire.WindowDone)
        )

    def _restarts_matter(self, config: Config) -> bool:
        """Return whether the starts of epochs cost a share worth having, and cost another one with these settings."""
        share = self._summary.restart_fraction if self._summary is not None else 0.0
        return share >= RESTARTS_MATTER and any(knobs.get(name).starts_the_loader for name, _value in config.settings)

    def _evaluates_otherwise(self, config: Config) -> bool:
        """Return whether the evaluation with these settings is still to be seen, at the end of an epoch."""
        changed = Config.of({name: value for name, value in config.settings if knobs.get(name).shortens_evaluation})
        new = bool(changed.settings) and changed not in self._evaluated
        self._evaluated.add(changed)
        return new

    def _in_script_run(self, windows: list[wire.Window], setup: Setup = BASELINE_SETUP) -> InScriptRun:
        """Return windows for a script run with this setup, which is then the present one."""
        self._setup = setup
        return InScriptRun(windows=windows, setup=setup)

    def _starts_for(self, config: Config) -> int:
        """Return the starts of the script for a trial: its own, and the baseline's after it if that is beside it."""
        setup = self.known.setup(config)
        away = setup != BASELINE_SETUP and not self.known.reference(config).settings
        return int(setup != self._setup) + int(away)

    def _diagnose_best(self, pace: Pace) -> Planner:
        """After a step forward, profile the best so far: what limits it now says what is worth trying next."""
        best, found = self.known.best, self._summary
        if best is None or best.ratio is None or found is None or best.ratio.speedup < STEP * self._diagnosed:
            return
        most_s = self._most_follow_up_s(best, pace) / self._needed.dearer
        update_s = pace.update_s / best.ratio.speedup
        follow_up = FollowUp.within(most_s, best.config, len(self.known.limits), found.workload, update_s)
        if follow_up is None:
            return
        self._diagnosed = best.ratio.speedup
        self._progress.stage(f"what limits {best.config}?", windows=len(follow_up.windows))
        yield self._in_script_run(follow_up.sent, self.known.setup(best.config))
        evidence = follow_up.evidence(self._result, found.hardware, found.workload)
        if evidence is None:
            return
        diagnosis = rules.diagnose(evidence)
        space = widened(
            self.space,
            found.hardware,
            fixes.as_diagnosed(found.workload, diagnosis.findings, evidence),
            diagnosis,
            self.request.selection,
            config=best.config,
            computing_fraction=evidence.phases["forward"] + evidence.phases["backward"],
        )
        self.known.diagnosed(best, diagnosis, space)

    def _most_follow_up_s(self, best: Trial, pace: Pace) -> float:
        """Return the most time for a diagnosis of the best so far; a clear gain is not kept from its proof for long."""
        gain = clear_gain(best) if self.budget_s is None else None
        return min(
            FOLLOW_UP_FRACTION * self._needed.spare_s(pace), ending.patience_s(gain) if gain is not None else math.inf
        )

    # --- finalists ------------------------------------------------------------------------------------------------

    def _final_windows(self, pace: Pace) -> Planner:
        """Yield fresh windows, interleaved: the best of a search looks better than it is."""
        finalists = self._needed.finalists(pace)
        if finalists:
            self._progress.stage("measuring the best again", windows=2 * self._settings.final_rounds * len(finalists))
        for number in range(self._settings.most_final_rounds):
            for place, config in enumerate(finalists):
                if number >= self._settings.final_rounds and not self._needs_more(config, pace):
                    continue
                yield from self._final_pair(f"final {place} {number}", config, pace, number)

    def _final_pair(self, name: str, config: Config, pace: Pace, number: int) -> Planner:
        setup = self.known.setup(config)
        if setup == BASELINE_SETUP:
            yield self._in_script_run([window(name, WindowRole.FINAL, config, pace), baseline_window(name, pace)])
        elif number < LAUNCH_ROUNDS and self._affordable(config, pace):
            yield self._in_script_run([window(name, WindowRole.FINAL, config, in_fresh_process(pace))], setup)
            yield self._in_script_run([baseline_window(name, in_fresh_process(pace))])

    def _windows_by_knob(self, pace: Pace) -> Planner:
        """Yield the ablation windows of the winner."""
        self.known.read_finals()
        winner = self.known.winner()
        if len(winner.settings) > 1 and self._needed.has_time_for_ablation(winner, pace):
            self._progress.stage(f"removing the settings of {winner} one at a time")
            yield from ablation.windows(
                winner,
                pace,
                left_s=self.left_s,
                setup=self.known.setup(winner),
                dependents=self.space.dependents,
                window_s=self._needed.window_s(pace),
            )

    def _needs_more(self, config: Config, pace: Pace) -> bool:
        """Return whether more rounds may decide if a finalist gains, and there is time for one."""
        ratio = self.known.ratio(config, self.known.final_ids(config))
        if ratio is None or self.left_s() < 2 * self._needed.window_s(pace) + self._needed.ablation_s(config, pace):
            return False
        floor = 1 + self._settings.floor
        return ratio.low <= floor <= ratio.high
