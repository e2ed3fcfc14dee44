"""One search by losses with everything it needs: the baseline's training, the plan, the search, the verification."""

from __future__ import annotations

import itertools
import math
import os
import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..analysis import time_to_loss
from ..analysis.time_to_loss import FEWEST_EVALUATIONS, Target, Unclear
from ..errors import INTERRUPTIONS
from ..progress import NotesOnly
from ..spelling import parameter
from ..types import (
    Config,
    Failure,
    Hardware,
    LearningObjective,
    LearningVerdict,
    LossCurve,
    LossKind,
    Profile,
    RangeTest,
    Skipped,
    TrainingRun,
    Workload,
)
from ..verification.learning_rounds import Side, verify_learning
from ..verification.learning_verdict import BROKEN, OF_EVALUATIONS

if TYPE_CHECKING:
    from ..runtime import RunOptions
    from ..search.training import Found, Plan, TrainingLog, TrainingSpace
    from ..search.training.search import Baseline
    from ..storage.run_store import RunFolder
    from ..verification.training_run import Trainings
    from .learning_request import LearningRequest

UNLIMITED_UPDATES = 1_000_000
"""Updates of a training that ends by its time."""
MOST_RANGE_TEST_S = 300.0
"""Most time of the range test: as much as the command lr takes."""
UNKNOWN_START_S = 5.0
"""Start-up of a process, if a resumed search has started none."""
UNVERIFIED = LearningVerdict(status="unverified", why="nothing was compared in fresh processes")


@dataclass(kw_only=True)
class LearningRun:
    """A search in progress, or a completed one."""

    request: LearningRequest
    options: RunOptions
    run: RunFolder
    machine: Hardware
    trainings: Trainings
    log: TrainingLog
    profile: Profile | None = None
    """The script's parts, as its first training shows them; that of the search which this one resumes."""
    baseline: Baseline | None = None
    plan: Plan | None = None
    space: TrainingSpace | None = None
    found: Found | None = None
    verdict: LearningVerdict = UNVERIFIED
    failure: Failure | None = None
    notes: list[str] = field(default_factory=list)
    interrupted: BaseException | None = None

    def carry_out(self) -> None:
        """Run the search and its verification; what was found by then stands, whatever ends it."""
        run = self._train_baseline()
        if self.failure is not None:
            return
        self.baseline = self._judged(run)
        if self.baseline is None:
            return
        try:
            self._search()
        except INTERRUPTIONS as interruption:  # in the range test: the search itself keeps what it found
            self.interrupted = interruption
            return
        if self.found is not None and self.found.interrupted is not None:
            self.interrupted = self.found.interrupted
        elif self.found is not None and self.found.best is not None and self.request.verify:
            self._verify(self.found.best, self.found.updates)

    # --- the script as written --------------------------------------------------------------------------------------

    def _train_baseline(self) -> TrainingRun:
        horizon = self.request.horizon
        self.options.progress.stage(f"training {self.request.command.title} unmodified", windows=1)
        run = self.log.train(
            self.request.always, updates=horizon.updates or UNLIMITED_UPDATES, seed=0, most_s=horizon.seconds
        )
        if self.profile is None:
            self.profile = self._read_profile()
        if run.end not in ("measured", "diverged", "nan"):
            known = self.profile.failure
            self.failure = known if known is not None else Failure(kind="no_steps", message=run.message)
        return run

    def _judged(self, run: TrainingRun) -> Baseline | None:
        """Return the baseline with its target; None, with the reason as a failure, if it can have none."""
        from ..search.training import unsuitable

        why = unsuitable(self.workload) if self.workload is not None else "the parts of its training were not seen"
        if why is not None:
            self._refuse(why)
            return None
        if run.training is None:
            self._refuse("the losses of its updates are not known")
            return None
        run = self._cut(run, run.training)
        if self.request.metric and (run.validation is None or len(run.validation) < FEWEST_EVALUATIONS):
            self._refuse(self._too_few_numbers(run.validation))
            return None
        return self._with_target(run)

    def _with_target(self, run: TrainingRun) -> Baseline | None:
        from ..search.training.search import Baseline

        if self.request.metric:
            self.notes.append(f"judged by what the script prints as {self.request.metric!r}; lower is better")
        loss, curve = self._loss_of(run)
        target = time_to_loss.target_of(curve, of_evaluations=loss in OF_EVALUATIONS)
        if isinstance(target, Unclear):
            return self._without_target(run, loss, curve, target)
        if target.judged_by == "lowest":
            if run.end in BROKEN:  # a target stands on trainings that end
                self._note_loss_at_the_end(run.message)
                return Baseline(run=run, loss=loss, target=None, reached_s=None, judged_by="lowest")
            self._note_lowest(loss, curve, target)
        return Baseline(run=run, loss=loss, target=target.loss, reached_s=target.reached_s, judged_by=target.judged_by)

    def _without_target(self, run: TrainingRun, loss: LossKind, curve: LossCurve, target: Unclear) -> Baseline | None:
        """Return a baseline whose losses at the end are compared: where nothing is learnt, there is none to reach."""
        from ..search.training.search import Baseline

        if self.request.objective == "loss_at_time" and any(value is not None for value in curve.losses):
            return Baseline(run=run, loss=loss, target=None, reached_s=None)
        if not target.is_seen and run.end not in BROKEN:
            at_a_time = parameter("objective", "loss_at_time")
            more = "training longer" if self._ends_before_the_horizon(run) else f"a longer {parameter('horizon')}"
            self._refuse(f"{target.why}: {more} may show more, and {at_a_time} needs no target")
            return None
        overfits = loss in OF_EVALUATIONS and isinstance(time_to_loss.target_of(run.training or curve), Target)
        self._note_loss_at_the_end(
            run.message
            if run.end in BROKEN
            else f"{target.why}, although its training loss falls: it overfits from the start, or has hardly begun"
            if overfits
            else target.why
        )
        return Baseline(run=run, loss=loss, target=None, reached_s=None)

    def _ends_before_the_horizon(self, run: TrainingRun) -> bool:
        asked = self.request.horizon.updates
        return asked is not None and run.training is not None and run.training.updates[-1] < asked

    def _note_loss_at_the_end(self, why: str) -> None:
        self.notes.append(
            f"without settings there is no loss to reach: {why}. Settings are judged by the loss at the end of the "
            f"{parameter('horizon')}"
        )
        self.options.progress.note(self.notes[-1])

    def _note_lowest(self, loss: LossKind, curve: LossCurve, target: Target) -> None:
        from ..knobs import early_stopping

        knob, name = early_stopping.KNOB, self.request.metric or f"its {loss}"
        self.notes.append(
            f"{name} is lowest after {time_to_loss.until(curve, target.reached_s).updates[-1]:,} updates "
            f"({target.loss:.4g}) and rises to {time_to_loss.end_loss(curve):.4g} within the {parameter('horizon')}: "
            "trainings are judged by their lowest, as if the best checkpoint were kept; advisor run --set "
            f"{shlex.quote(f'{knob.id}={knob.example}')} ends a training soon behind it"
        )
        self.options.progress.note(self.notes[-1])

    def _cut(self, run: TrainingRun, whole: LossCurve) -> TrainingRun:
        """Return the training up to the horizon, which ends behind an evaluation if there are some."""
        asked, made = self.request.horizon.updates, whole.updates[-1]
        if asked is not None and made < asked:
            self.notes.append(f"the script ends after {made:,} updates: these are the horizon")
        training = time_to_loss.until(whole, self.request.horizon.seconds or math.inf)
        last = training.updates[-1] if len(training) else whole.updates[0]
        evaluated = run.validation.updates if run.validation is not None else ()
        behind = [update for update in evaluated if update <= last]
        if len(behind) >= FEWEST_EVALUATIONS and (asked is None or last >= asked):
            last = behind[-1] + 1
        return replace(
            run,
            training=time_to_loss.up_to_update(whole, last),
            validation=None if run.validation is None else time_to_loss.up_to_update(run.validation, last),
        )

    def _loss_of(self, run: TrainingRun) -> tuple[LossKind, LossCurve]:
        from ..target.training_length import epoch_updates

        assert run.training is not None
        if run.validation is not None and len(run.validation) >= FEWEST_EVALUATIONS:
            return "printed metric" if self.request.metric else "validation loss", run.validation
        epoch = epoch_updates(self.workload) if self.workload is not None else None
        if epoch is not None and run.training.updates[-1] <= epoch:
            return "training loss of the first epoch", run.training
        return "training loss", run.training

    def _too_few_numbers(self, found: LossCurve | None) -> str:
        name, count = self.request.metric, 0 if found is None else len(found)
        seen = "no number" if not count else "one number" if count == 1 else f"{count} numbers"
        return (
            f"it printed {seen} under the name {name!r} within the {parameter('horizon')}, and {FEWEST_EVALUATIONS} "
            f"are the fewest that show a course: expected lines such as '{name}: 0.42', at different updates"
        )

    # --- the search ---------------------------------------------------------------------------------------------------

    def _search(self) -> None:
        from ..search.training import TrainingSearch, open_training_space, plan_of

        assert self.baseline is not None
        assert self.workload is not None
        always = self.request.always
        lanes = self._lanes(self.workload)
        self.plan = plan_of(
            updates=self.horizon_updates,
            horizon_s=self.baseline.run.seconds,
            start_s=self._start_s(),
            budget_s=self.request.budget_s,
            verify=self.request.verify,
            between_evaluations=self._between_evaluations(),
            together=len(lanes),
            rests=self.baseline.target is None and self.baseline.run.end not in BROKEN,
        )
        self.space = open_training_space(
            self.machine,
            self.workload,
            only=self.request.only,
            without=self.request.without,
            tested=self._range_test(),
            always=always.as_dict(),
            shortest=self.plan.rungs[0].updates,
        )
        self.options.progress.note(str(self.plan))
        self.found = TrainingSearch(
            space=self.space,
            log=self.log,
            plan=self.plan,
            baseline=self.baseline,
            objective=self.objective,
            always=always,
            progress=self.options.progress,
            lanes=lanes,
        ).carry_out()

    def _range_test(self) -> RangeTest | None:
        """Return the range test of the rate, in a process of its own; None if the rate is not searched."""
        from ..knobs import learning_rate
        from ..runtime import Session
        from .lr import range_test_of

        name, request = learning_rate.KNOB.id, self.request
        wanted = (request.only is None or name in request.only) and name not in request.without
        if not wanted or request.always.settings:
            return None
        if self.log.tested is not None:
            return self.log.tested
        self.options.progress.stage("testing the range of learning rates", windows=1)
        folder = self.run.path / f"range-test-{self.trainings.count}"
        folder.mkdir(mode=0o700, exist_ok=True)
        session = Session(
            command=request.command,
            folder=folder,
            isolation=self.trainings.isolation,
            options=replace(self.options, progress=NotesOnly(self.options.progress)),
            loop_budget_s=MOST_RANGE_TEST_S,
            max_script_runs=1,
        )
        tested = range_test_of(session, request.command)
        self.log.keep_range_test(tested)
        if tested.suggestion is None:
            why = tested.failure.message if tested.failure is not None else tested.abstained
            self.notes.append(f"the range test of the learning rate says nothing: {why}")
        return tested

    def _verify(self, best: Config, updates: int) -> None:
        from ..search.training import paced

        assert self.baseline is not None
        always = self.request.always
        spent_s = sum(trial.seconds for trial in self.found.trials) if self.found is not None else 0.0
        verified = verify_learning(
            lambda config, count, seed: self.log.train(config, updates=count, seed=seed),
            Side(config=always, updates=self.horizon_updates),
            Side(config=Config.of({**always.as_dict(), **best.as_dict()}), updates=updates),
            loss=self.baseline.loss,
            objective=self.objective,
            horizon_s=self.request.horizon.seconds if self.request.objective == "loss_at_time" else None,
            budget_s=math.inf if self.request.budget_s is None else self.request.budget_s - spent_s,
            progress=self.options.progress,
            same_pace=not paced(best).settings,
            judged_by=self.baseline.judged_by,
        )
        self.verdict, self.interrupted = verified.verdict, verified.interrupted

    # --- what is known ------------------------------------------------------------------------------------------------

    @property
    def workload(self) -> Workload | None:
        return self.profile.workload if self.profile is not None else None

    @property
    def objective(self) -> LearningObjective:
        """That of the request, unless the script as written reaches no loss."""
        none = self.baseline is not None and self.baseline.target is None
        return "loss_at_time" if none else self.request.objective

    @property
    def horizon_updates(self) -> int:
        """Updates that a window counts to reach the horizon: the first one of a process comes before it."""
        assert self.baseline is not None
        assert self.baseline.run.training is not None
        last = self.baseline.run.training.updates[-1]
        asked = self.request.horizon.updates
        return last if asked is not None and last < asked else max(1, last - 1)

    @property
    def skipped(self) -> Sequence[Skipped]:
        return self.space.skipped if self.space is not None else ()

    def _refuse(self, why: str) -> None:
        self.failure = Failure(kind="refused", message=why)

    def _between_evaluations(self) -> int | None:
        assert self.baseline is not None
        if self.baseline.loss not in OF_EVALUATIONS:
            return None
        at = self.baseline.curve.updates
        return round(statistics.median(later - earlier for earlier, later in itertools.pairwise(at)))

    def _start_s(self) -> float:
        result = self.trainings.last
        known = result.script_runs[-1].first_update_at_s if result is not None and result.script_runs else None
        return UNKNOWN_START_S if known is None else known

    def _lanes(self, workload: Workload) -> Sequence[Mapping[str, str]]:
        """Return the lanes of trainings that run at once; note why devices stay idle."""
        from .training_lanes import lanes_of

        result = self.trainings.last
        found = lanes_of(
            result.script_runs[-1] if result is not None and result.script_runs else None,
            workload,
            self.machine,
            protects=self.trainings.isolation.protects,
            environment=os.environ,
        )
        if found.why_one:
            self.notes.append(f"trainings run one after another, on one device: {found.why_one}")
        return found.lanes

    def _read_profile(self) -> Profile:
        """Assemble and store what the baseline's training shows of the script; windows would only repeat its curve."""
        from ..analysis import assembly
        from ..storage import run_store
        from ..version import __version__
        from .redacted import without_secrets

        result = self.trainings.last
        assert result is not None  # the baseline was just trained, or its profile was read
        found = assembly.assemble(
            run_id=self.run.run_id,
            version=__version__,
            command=self.request.command,
            hardware=self.machine,
            isolation=self.trainings.isolation,
            result=result,
        )
        failure = result.script_runs[-1].failure if result.script_runs else found.failure
        found = replace(found, windows=(), failure=failure, run_options=self.options.typed())
        found = without_secrets(found, self.request.command, self.run.path)
        run_store.save_profile(found, self.run)
        return found
