"""Settings tried at the end of a profile: those that its findings name, and some that cost next to nothing to try.

Each is switched live for a few windows, between two of the baseline. None changes the training.
"""

from __future__ import annotations

import itertools
import operator
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from .. import knobs, rules, wire
from ..progress import SILENT, Progress
from ..runtime.session import Planner
from ..runtime.session_result import SessionResult
from ..types import Config, Diagnosis, Evidence, Finding, Hardware, MeasuredFix, Ratio, SettingValue, Workload
from ..wire import WindowRole
from . import ratios
from .losses import lost_its_loss
from .pace import Pace
from .profile_plan import EPOCH_END_MAX_S
from .setting_windows import epoch_end_window, window

TIME_FRACTION = 0.25
"""Fraction of a profile's budget that is left to them, besides what its other windows do not need."""
MOST_RESERVED_S = 20.0
"""Limit on that time: more windows of five settings show nothing new."""
ROUNDS = 2
"""Windows of a setting that may gain; one is enough where the first shows no gain."""
LATEST_WINDOWS = 7
"""Windows that show how long the next ones take."""
NO_GAIN = 1.02
"""Speed-up up to which one window is enough: 2% is the least noise floor of a comparison."""
RESTARTS_MATTER = 0.02
"""Share of the loop in starts of the loader, from which a setting that changes them must show one."""
BESIDE = ratios.Beside(WindowRole.REFERENCE, Config())
"""Windows of the baseline beside them. Others do not read these: memory need not be what it was before."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One setting worth trying."""

    knob: knobs.Knob
    value: SettingValue
    ends_epoch: bool = False
    """True if what it changes shows at an epoch's end."""

    @property
    def config(self) -> Config:
        return Config.of({self.knob.id: self.value})

    @property
    def may_break(self) -> bool:
        """Return whether the script's code may fail with it, which costs a start."""
        return bool(self.knob.fails_in)

    def cost_s(self, window_s: float) -> float:
        """Return about how many seconds a window and the baseline's beside it take, of so many seconds each."""
        ending_s = EPOCH_END_MAX_S if self.ends_epoch else 0.0
        return 2 * window_s + self.knob.set_up_s + ending_s


def reserved_s(budget_s: float, update_s: float) -> float:
    """Return the seconds of a profile's budget that are left to the settings; none if updates are too long for one."""
    seconds = min(MOST_RESERVED_S, TIME_FRACTION * budget_s)
    one_s = 3 * Pace.for_update(update_s, seconds, 3).cost_s
    return seconds if one_s <= seconds else 0.0


def as_diagnosed(workload: Workload, findings: Sequence[Finding], evidence: Evidence) -> Workload:
    """Return the workload with the diagnosis's additions, which knobs need to choose values worth trying."""
    establish = {rule.id: rule.establish for rule in rules.all_rules() if rule.establish is not None}
    facts = workload.facts
    for name in [finding.rule for finding in findings if finding.rule in establish]:
        facts = establish[name](facts, evidence)
    if evidence.noise_scale is not None:
        facts = replace(facts, critical_batch=evidence.noise_scale.high)
    return replace(workload, facts=facts)


@dataclass(kw_only=True)
class Fixes:
    """The settings that a profile tries, in one go or several."""

    result: SessionResult
    read: Callable[[], Evidence | None]
    """Returns what the profile's windows show so far."""
    left_s: Callable[[], float]
    progress: Progress = SILENT
    _rounds: Counter[Config] = field(default_factory=Counter, init=False)
    """Windows of each setting so far."""
    _number: Iterator[int] = field(default_factory=itertools.count, init=False)
    postponed: bool = field(default=False, init=False)
    """True if the last go had no time for some of them."""
    _broke: bool = field(default=False, init=False)

    def plan(self, *, until_left_s: float = 0.0) -> Planner:
        """Plan windows of the settings, the most promising first, until so much time is left.

        Those that may break the script wait for the last go, if the time after this one is too short for a new start.
        What the first of them takes then is not spent on others now.
        """
        evidence, self.postponed = self.read(), False
        if evidence is None or self._broke:
            return
        waiting = [one for one in candidates(evidence, rules.diagnose(evidence)) if self._is_open(one, evidence)]
        spare_s = self.left_s() - until_left_s
        pace = Pace.for_update(evidence.steps.mean_s, spare_s, 2 * ROUNDS * len(waiting) + 1)
        window_s = max(pace.cost_s, self._took_s())
        if 0 < until_left_s < self._start_s:
            later = [one for one in waiting if one.may_break]
            waiting = [one for one in waiting if not one.may_break]
            if later:
                self.postponed = True
                until_left_s += window_s + later[0].cost_s(window_s)
        if not waiting or self.left_s() - until_left_s < window_s + waiting[0].cost_s(window_s):
            return
        yield [_reference(f"before fix {next(self._number)}", pace)]
        while waiting and not self._broke:
            candidate = waiting.pop(0)
            if self.left_s() - until_left_s < candidate.cost_s(window_s):
                self.postponed = True
                continue
            yield from self._try(candidate, pace)
            if self._is_open(candidate, evidence):
                waiting.append(candidate)

    @property
    def _start_s(self) -> float:
        """Seconds that a start of the script takes."""
        return next((run.first_update_at_s or 0.0 for run in self.result.script_runs[::-1]), 0.0)

    def _took_s(self) -> float:
        """Return the seconds that the latest windows have typically taken: batches in flight may be more than their
        updates. 0 if too few were run to tell."""
        at_s = sorted(self.result.arrived_s.values())[-1 - LATEST_WINDOWS :]
        return statistics.median(map(operator.sub, at_s[1:], at_s)) if len(at_s) > LATEST_WINDOWS else 0.0

    def _try(self, candidate: Candidate, pace: Pace) -> Planner:
        config = candidate.config
        name = f"fix {next(self._number)}"
        windows = [window(name, WindowRole.FIX, config, pace)]
        if candidate.ends_epoch:
            windows.append(epoch_end_window(name, config))
        self._rounds[config] += 1
        self.progress.stage(f"trying {config}", windows=len(windows) + 1)
        outcomes = yield windows
        outcome = outcomes.get(name)
        # One that it cannot take is refused before an update; what another failure left behind is not its own state.
        self._broke = outcome is None or (isinstance(outcome, wire.WindowRefused) and outcome.kind != "refused")
        if not self._broke:
            yield [_reference(f"beside {name}", pace)]

    def _is_open(self, candidate: Candidate, evidence: Evidence) -> bool:
        """Return whether another window of it may show a gain."""
        done = self._rounds[candidate.config]
        if not done:
            return True
        ratio = _ratio(self.result, candidate.config, evidence.workload)
        return done < ROUNDS and ratio is not None and ratio.speedup > NO_GAIN


def measured(result: SessionResult, hardware: Hardware, workload: Workload) -> tuple[MeasuredFix, ...]:
    """Return the settings that were tried and compared, the best first."""
    configs = dict.fromkeys(Config.of(tried.config) for tried in _fix_windows(result))
    found = []
    for config in configs:
        (name, value), *_none = config.settings
        ratio = _ratio(result, config, workload)
        if ratio is not None:
            effect = knobs.get(name).effect(hardware, workload)
            found.append(
                MeasuredFix(
                    knob=name,
                    value=value,
                    effect=effect,
                    speedup=ratio.speedup,
                    low=ratio.low,
                    high=ratio.high,
                    rounds=ratio.rounds,
                )
            )
    return tuple(sorted(found, key=lambda fix: -fix.expected))


def refusals(result: SessionResult) -> Iterator[str]:
    """Yield, for each setting that the script could not take, the reason."""
    for tried in _fix_windows(result):
        outcome = result.outcomes.get(tried.id)
        if isinstance(outcome, wire.WindowRefused):
            yield f"{Config.of(tried.config)} could not be tried: {outcome.message}"


def candidates(evidence: Evidence, diagnosis: Diagnosis) -> list[Candidate]:
    """Return the settings to try, in order: of each finding the first that can be tried, those that are tried
    unprompted, and the others of the findings."""
    workload = as_diagnosed(evidence.workload, diagnosis.findings, evidence)
    usable = {
        knob.id: candidate
        for knob in knobs.all_knobs()
        if (candidate := candidate_of(knob, evidence, workload)) is not None
    }
    of_findings = [
        [name for name in finding.knobs if name in usable]
        for finding in diagnosis.findings
        if finding.ceiling is not None  # others are of memory and risks, which no window's speed can show
    ]
    first = [names[0] for names in of_findings if names]
    ranks = {name: candidate.knob.tried_unprompted for name, candidate in usable.items()}
    unprompted = sorted((name for name, rank in ranks.items() if rank), key=lambda name: ranks[name])
    others = [name for names in of_findings for name in names[1:]]
    return [usable[name] for name in dict.fromkeys((*first, *unprompted, *others))]


def candidate_of(knob: knobs.Knob, evidence: Evidence, workload: Workload) -> Candidate | None:
    """Return the most promising value of a knob; None if it changes the training, needs a new process or more memory,
    or does nothing here."""
    if knob.scope != "live" or knob.samples_per:
        return None
    values = knob.values(evidence.hardware, workload)
    if not values.values or (knob.needs and not values.needed_is_on):
        return None
    if knob.effect(evidence.hardware, workload) == knobs.EFFECTS[-1]:
        return None
    restarts = evidence.restarts.share or 0.0 if evidence.restarts is not None else 0.0
    ends_epoch = knob.shortens_evaluation or (knob.starts_the_loader and restarts >= RESTARTS_MATTER)
    return Candidate(knob=knob, value=values.values[0], ends_epoch=ends_epoch)


def _reference(name: str, pace: Pace) -> wire.Window:
    return window(name, WindowRole.REFERENCE, Config(), pace)


def _ratio(result: SessionResult, config: Config, workload: Workload) -> Ratio | None:
    """Return the speed-up of the windows of a setting; None if none can be compared."""
    ids = [tried.id for tried in _fix_windows(result) if Config.of(tried.config) == config]
    done = [outcome for name in ids if isinstance(outcome := result.outcomes.get(name), wire.WindowDone)]
    if not done or any(lost_its_loss(result, one) for one in done):
        return None
    loader = workload.train_loader
    epoch_samples = loader.length_samples if loader is not None else None
    return ratios.speedup(result, {one.id for one in done}, epoch_samples, beside=BESIDE)


def _fix_windows(result: SessionResult) -> Iterator[wire.Window]:
    return (planned for planned in result.windows.values() if planned.role is WindowRole.FIX)
