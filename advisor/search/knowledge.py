"""Knowledge of a search: its space, its trials and their lessons; each trial is on disk before it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..analysis.ratios import Beside, chained
from ..progress import SILENT, Progress
from ..runtime.session import BASELINE_SETUP, Setup
from ..runtime.session_result import SessionResult
from ..types import Command, Config, Diagnosis, LimitStep, Ratio, Skipped, Trial, TrialOutcome
from ..wire import WindowRole
from . import ablation, memory_model, scoring
from .expert import Limit, Proposal
from .final_result import FinalResult
from .goals import Goal, Prospect
from .memory_model import MemoryModel
from .preset import SearchSettings
from .profile_summary import ProfileSummary
from .proposals import Proposer
from .scores import Scores
from .search_alone import ALONE, Alone
from .space import KEEPS_TRAINING, Space
from .steps import best_so_far
from .studies import identity_of, machine_key
from .training_gain import WholeTraining
from .trial_log import BASELINE_TRIAL, TrialLog

if TYPE_CHECKING:
    from .shared_study import SharedStudy

MUCH_FASTER = 1.15
"""Speed-up of the best so far from which other trials are compared with it."""
WORDS = {"throughput": "as fast", "memory": "less memory", "energy": "less energy", "cost": "cheaper"}


@dataclass(kw_only=True)
class Knowledge:
    """State of a search, which grows by trials and fresh windows; it decides nothing."""

    result: SessionResult
    settings: SearchSettings
    goal: Goal
    folder: Path
    command: Command | None = None
    past: Sequence[Trial] = ()
    """Trials of the search that this one resumes."""
    joules: scoring.Joules | None = None
    shared: SharedStudy | Alone = ALONE
    progress: Progress = SILENT
    space: Space = field(default_factory=lambda: Space(knobs=()), init=False)
    limit: Limit | None = field(default=None, init=False)
    """What limits the best configuration so far, once that was diagnosed."""
    limits: list[LimitStep] = field(default_factory=list, init=False)
    finals: dict[Config, Ratio] = field(default_factory=dict, init=False)
    """Results of fresh windows for the finalists."""
    _memory: MemoryModel | None = field(default=None, init=False)
    _proposer: Proposer | None = field(default=None, init=False)
    _epoch_samples: int | None = field(default=None, init=False)
    _machine: str = field(default="", init=False)
    """Kind of machine, for the shared search."""
    _nothing_left_at: float = field(default=-1, init=False)  # version of the shared search
    _no_time: dict[str, str] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._log = TrialLog(self.folder)
        self.scores = Scores(result=self.result, goal=self.goal, joules=self.joules)
        self.trials = list(self.past)

    # --- before ---------------------------------------------------------------------------------------------------

    def open(self, summary: ProfileSummary, space: Space) -> bool:
        """Set the space; return False if nothing was measured of the baseline."""
        loader = summary.workload.train_loader
        self.space = space
        torch = summary.hardware.torch
        self._machine = machine_key(summary.hardware, torch.version if torch is not None else None)
        self._epoch_samples = loader.length_samples if loader is not None else None
        self._memory = memory_model.of_profile(summary)
        if summary.length is not None:
            self.scores.training = WholeTraining(length=summary.length, update_s=summary.update_s)
        if not any(trial.number == 0 for trial in self.trials):
            outcome = scoring.baseline_outcome(self.result, self.joules)
            if outcome is None:
                return False
            self._keep(replace(BASELINE_TRIAL, outcome=outcome))
        return True

    def prepare(self) -> None:
        """Teach the proposer from past trials, and open the shared study if there is one."""
        self.shared.open(self.space, self.goal, identity_of(self.command), self._machine)
        self.space = self.shared.agreed(self.space)
        self._proposer = Proposer(self.space, self.goal)
        for trial in self.trials:
            self._learn(self._proposer, trial)
        self._hear(self._proposer)

    def _hear(self, proposer: Proposer) -> None:
        """Take over what other searches have measured since the last time."""
        for trial in self.shared.news(self.number):
            self._keep(replace(trial, effect=self.space.effect(trial.config)))
            self._learn(proposer, trial)

    # --- what to try ----------------------------------------------------------------------------------------------

    def propose(self) -> Proposal | None:
        """Return the next configuration to try; None if nothing is left or there were enough trials.

        One that would not fit in memory is recorded as a refused trial and skipped.
        """
        proposer = self._proposer
        assert proposer is not None
        self._hear(proposer)
        if self._nothing_left_at == self.shared.version:
            return None  # a sampler that is asked in vain takes the time of others on this machine
        while self.trials_left:
            claimed, again = self.shared.claimed_elsewhere(), self.shared.queued_again()
            proposal = proposer.ask(self.trials, claimed, limit=self.limit, again=again)
            if proposal is None:
                self._nothing_left_at = self.shared.version
                return None
            refused = self._memory.refuses(proposal.config) if self._memory is not None else None
            if refused is None:
                return proposal
            self.record(proposal, TrialOutcome(kind="refused", message=refused), tried=False)
        return None

    def setup(self, config: Config) -> Setup:
        """Return the setup that a script run needs for these settings."""
        launched = self.space.at_launch(config)
        if not launched.settings:
            return BASELINE_SETUP
        line, command = self.space.command_line, self.command
        by_argument, by_constant = line.arguments(launched), line.constants(launched)
        args = line.command(command, launched).args if command is not None and by_argument else None
        return Setup(
            settings=launched,
            args=args,
            constants=line.by_module(launched),
            by_script=frozenset({*by_argument, *by_constant}),
        )

    def claim(self, config: Config) -> bool:
        """Take a configuration before other searches do; return False if one was faster."""
        if self.shared.claim(config):
            return True
        assert self._proposer is not None
        self._proposer.withdraw(config)
        return False

    @property
    def trials_left(self) -> bool:
        """True if fewer trials were made than a search may make."""
        return len(self.trials) <= self.settings.most_trials

    def diagnosed(self, best: Trial, diagnosis: Diagnosis, space: Space) -> None:
        """Record what limits the best so far; the knobs that may help come next, in the wider `space`."""
        assert best.ratio is not None
        findings = tuple(finding for finding in diagnosis.findings if finding.severity != "info")
        known = {knob.id for knob in self.space.knobs}
        opened = tuple(knob.id for knob in space.knobs if knob.id not in known)
        unsure = tuple(abstention.rule for abstention in diagnosis.abstained)
        step = LimitStep(config=best.config, ratio=best.ratio, findings=findings, opened=opened, unsure=unsure)
        self.limits.append(step)
        # What is open only now is worth more than the rest of what helped against the last limit.
        helpful = dict.fromkeys([*(name for finding in findings for name in finding.knobs), *opened])
        why = f"{findings[0].rule} limits it now" if findings else "its time goes elsewhere now"
        self.limit = Limit(config=best.config, knobs=tuple(helpful), why=why)
        if opened:
            self.space = space = self.shared.agreed(space)
            assert self._proposer is not None
            self._proposer.open(space, self.trials)

    def no_time_for(self, name: str, why: str) -> None:
        """Note that a knob is skipped; this is reported if it was never tried."""
        self._no_time[name] = why

    # --- what came of it ------------------------------------------------------------------------------------------

    def outcome(self, ids: Sequence[str]) -> TrialOutcome:
        return scoring.outcome_of(self.result, ids, self.joules)

    def ratio(self, config: Config, ids: Sequence[str]) -> Ratio | None:
        """Return the ratio of these windows of a configuration to the baseline's."""
        across = self.setup(config) != BASELINE_SETUP
        return scoring.ratio_of(self.result, ids, self._epoch_samples, across_script_runs=across)

    def step(self, config: Config, ids: Sequence[str], beside: Config) -> Ratio | None:
        """Return the ratio of these windows to those `beside` them."""
        if not beside.settings:
            return self.ratio(config, ids)
        reference = Beside(WindowRole.REFERENCE, beside)
        return scoring.ratio_of(self.result, ids, self._epoch_samples, beside=reference)

    def reference(self, config: Config) -> Config:
        """Return what a trial's windows are compared with: the best so far if its updates are much shorter than the
        baseline's, for the comparison is then tighter in the same time."""
        best = self.best
        if best is None or best.ratio is None or best.ratio.speedup < MUCH_FASTER or best.config == config:
            return Config()
        return best.config if self.setup(best.config) == self.setup(config) else Config()

    def _to_baseline(self, step: Ratio | None, beside: Config) -> Ratio | None:
        """Return the ratio to the baseline of what was measured beside another configuration."""
        if step is None or not beside.settings:
            return step
        first = next((trial.ratio for trial in self.trials if trial.config == beside and trial.ratio), None)
        return chained(first, step) if first is not None else None

    def saw_baseline(self) -> None:
        """Use newly arrived windows of the baseline."""
        self._memory_saw(Config(), scoring.baseline_outcome(self.result))

    def prospect(self, config: Config, ids: Sequence[str], beside: Config) -> Prospect:
        """Return the prospect of a configuration after a short trial, against the best of its kind.

        Configurations that change the training are not compared with those that keep it.
        """
        outcome, step = self.outcome(ids), self.step(config, ids, beside)
        ratio = self._to_baseline(step, beside)
        if outcome.kind != "measured" or ratio is None or step is None:
            return "lost"
        if beside.settings and self.goal.name in ("throughput", "cost"):
            return self.goal.prospect(step, step.speedup, best=1.0, best_low=1.0)
        keeps = self.space.effect(config) in KEEPS_TRAINING
        others = [
            t for t in self.trials if t.config.settings and (t.effect in KEEPS_TRAINING) == keeps and self._good(t)
        ]
        best = max((score_of(trial) for trial in others), default=0.0)
        lows = [self.scores.over_training(t.config, t.ratio, t.outcome).low for t in others if t.ratio is not None]
        own = self.scores.over_training(config, ratio, outcome)
        return self.goal.prospect(
            own, self.scores.of(config, ratio, outcome), best=best, best_low=max(lows, default=0.0)
        )

    def record(
        self,
        proposal: Proposal,
        outcome: TrialOutcome,
        *,
        ids: Sequence[str] = (),
        beside: Config | None = None,
        stopped: bool = False,
        tried: bool = True,
    ) -> None:
        """Record the end of a trial, measured `beside` another configuration or the baseline.

        `stopped`: after the short trial; `tried` is False if it was refused unseen.
        """
        beside = beside or Config()
        step = self.step(proposal.config, ids, beside) if outcome.kind == "measured" else None
        ratio = self._to_baseline(step, beside)
        score = self.scores.of(proposal.config, ratio, outcome) if ratio is not None else None
        if outcome.kind == "measured" and ratio is None:
            outcome = TrialOutcome(kind="stopped", message="too few updates to compare")
        elif outcome.kind == "measured" and ratio is not None and stopped:
            message = f"at most {ratio.high:.2f} times as fast after a short trial: it can no longer win"
            outcome = replace(outcome, kind="stopped", message=message)
        trial = Trial(
            number=self.number,
            config=proposal.config,
            reason=proposal.reason,
            effect=self.space.effect(proposal.config),
            outcome=outcome,
            ratio=ratio,
            score=score,
            beside=beside,
            step=step if beside.settings else None,
        )
        self._keep(trial)
        assert self._proposer is not None
        self._learn(self._proposer, trial, tried=tried)
        if tried:
            self.shared.tell(trial)
        self._report_best()

    @property
    def number(self) -> int:
        """Number of the next trial."""
        return max((trial.number for trial in self.trials), default=-1) + 1

    def _learn(self, proposer: Proposer, trial: Trial, *, tried: bool = True) -> None:
        # A size that was refused unseen counts against no knob.
        blamed = tried and not (trial.outcome.kind == "refused" and memory_model.REFUSAL in trial.outcome.message)
        proposer.tell(trial, broke=blamed)
        if trial.ratio is not None:
            self._memory_saw(trial.config, trial.outcome)
        elif trial.outcome.kind == "oom" and self._memory is not None:
            self._memory.ran_out(trial.config)

    def _memory_saw(self, config: Config, outcome: TrialOutcome | None) -> None:
        if self._memory is not None and outcome is not None:
            self._memory.saw(config, outcome.peak_bytes)

    def _good(self, trial: Trial) -> bool:
        """Return whether it was measured, and stays within the speed that may be lost."""
        return trial.score is not None and trial.ratio is not None and self.goal.admits(trial.ratio)

    def _keep(self, trial: Trial) -> None:
        self._log.add(trial)
        self.trials.append(trial)

    @property
    def best(self) -> Trial | None:
        """Best trial so far that keeps the training, on which others build; None if none beat the baseline."""
        return best_so_far([trial for trial in self.trials if self._good(trial)])

    @property
    def has_promise(self) -> bool:
        """True if a configuration may gain more than counts, so that there is something to verify."""
        return any(score_of(trial) >= 1 + self.settings.floor for trial in self._better_than_baseline())

    @property
    def best_score(self) -> float:
        """Score of the best trial so far; 1.0, the baseline's, if none is better."""
        best = self._best_of_all
        return score_of(best) if best is not None else 1.0

    @property
    def _best_of_all(self) -> Trial | None:
        """Best trial so far, whatever it does to the training."""
        return best_so_far(self._better_than_baseline(), "all")

    def _better_than_baseline(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.config.settings and self._good(trial) and score_of(trial) > 1.0]

    def _report_best(self) -> None:
        best = self._best_of_all
        if best is not None:
            self.progress.best(f"{score_of(best):.2f}× {WORDS[self.goal.name]} with {best.config}")

    # --- the end --------------------------------------------------------------------------------------------------

    def finalists(self) -> list[Config]:
        """Return the most promising that keep the training, and the best that changes it; none that cannot win."""
        measured = [trial for trial in self._better_than_baseline() if trial.outcome.kind == "measured"]
        ranked = sorted(measured, key=score_of, reverse=True)
        kept = [t.config for t in ranked if t.effect in KEEPS_TRAINING][: self.settings.finalists]
        changed = [t.config for t in ranked if t.effect not in KEEPS_TRAINING][:1]
        return [*kept, *changed]

    def final_ids(self, config: Config) -> list[str]:
        """Return the ids of a finalist's fresh windows that were run."""
        finals = [window for window in self.result.windows.values() if window.role is WindowRole.FINAL]
        return [w.id for w in finals if w.config == config.as_dict() and w.id in self.result.outcomes]

    def read_finals(self) -> None:
        """Read the fresh windows that have arrived, once for each finalist."""
        for config in self.finalists():
            ratio = self.ratio(config, self.final_ids(config))
            if ratio is not None and config not in self.finals:
                self.finals[config] = ratio
                self._log.add_final(config, ratio)

    def final_results(self) -> dict[Config, FinalResult]:
        """Return the finalists, the best first. One without fresh windows keeps its result from the search."""
        found: dict[Config, FinalResult] = {}
        by_config = {trial.config: trial for trial in self.trials}
        for config in self.finalists():
            trial, ids = by_config[config], self.final_ids(config)
            if config in self.finals:
                score = self.scores.of(config, self.finals[config], self.outcome(ids))
                if score is not None:
                    found[config] = FinalResult(ratio=self.finals[config], score=score, fresh=True)
            elif trial.ratio is not None and trial.score is not None:
                found[config] = FinalResult(ratio=trial.ratio, score=trial.score, fresh=False)
        return dict(sorted(found.items(), key=lambda entry: -entry[1].score))

    def winner(self) -> Config:
        """Return the best that keeps the training as it is; empty if nothing beats the baseline."""
        kept = [config for config in self.final_results() if self.space.effect(config) in KEEPS_TRAINING]
        return kept[0] if kept else Config()

    def by_knob(self, config: Config) -> Mapping[str, Ratio]:
        """Return knob → its contribution to this configuration's gain; empty if that was not measured."""
        return ablation.ratios(self.result, config, epoch_samples=self._epoch_samples)

    def importances(self) -> Mapping[str, float]:
        """Return knob → its share of the spread between the trials."""
        return self._proposer.importances(self.trials) if self._proposer is not None else {}

    def untried(self) -> list[str]:
        """Return open knobs of which nothing is known: no value was compared or broke the script."""
        tried = {name for trial in self.trials if trial.is_conclusive for name, _value in trial.config.settings}
        return [knob.id for knob in self.space.knobs if knob.id not in tried]

    @property
    def closed(self) -> tuple[Skipped, ...]:
        """Knobs closed from the beginning, knobs that broke the script, and knobs that there was no time for."""
        untried = self.untried()
        passed_over = [Skipped(what=name, why=why) for name, why in self._no_time.items() if name in untried]
        broken = self._proposer.newly_closed() if self._proposer is not None else ()
        return (*self.space.closed, *broken, *passed_over)


def score_of(trial: Trial) -> float:
    return trial.score if trial.score is not None else 0.0
