"""One search with everything it needs: run folder, session, study, meter; opened, carried out, and read."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..progress import Progress
from ..redaction import Redactor
from ..spelling import parameter
from ..types import Config, Diagnosis, Hardware, Profile, Recommendation, Trial, Verdict

if TYPE_CHECKING:
    from ..hardware.energy import Counter, Meter
    from ..runtime import RunOptions, Session, SessionResult
    from ..runtime.isolation import Isolation
    from ..search import ProfileSummary, Study
    from ..search.search_alone import Alone
    from ..search.shared_study import SharedStudy
    from ..storage.run_store import RunFolder
    from .tune_request import TuneRequest
    from .verification_cost import VerificationCost

MOST_RESERVED = 0.5
"""Largest fraction of the budget reserved for verification: with less left, a search finds nothing to verify."""
IMPORTED_S = 30.0
"""Most seconds for loading the search's libraries, which happens during the script's own start."""


@dataclass(kw_only=True)
class SearchRun:
    """A search in progress, or a completed one."""

    request: TuneRequest
    options: RunOptions
    run: RunFolder
    isolation: Isolation
    machine: Hardware
    session: Session
    meter: Meter | None = None
    shared: SharedStudy | Alone
    past: list[Trial] | None = None
    """Trials of the search that this one resumes."""
    profiles: list[Profile] = field(default_factory=list)
    reserved_s: float = 0.0
    _study: Study | None = None

    def carry_out(self) -> SessionResult:
        """Run the whole search; its results are on disk, whatever ends it."""
        from ..analysis import assembly

        study, session = self.study, self.session
        result = session.run(study.plan(lambda: assembly.workload_of(session.result.script_runs[-1])))
        study.conclude()
        if not self.profiles:
            self._read_profile()
        return result

    def __post_init__(self) -> None:
        self.session.more_s = self._more_s

    @property
    def study(self) -> Study:
        from .. import search

        if self._study is None:
            request = self.request.search
            known = search.Knowledge(
                result=self.session.result,
                settings=self.request.settings,
                goal=request.goal,
                folder=self.run.path,
                command=request.command,
                past=self.past or (),
                joules=self.meter.joules if self.meter is not None else None,
                shared=self.shared,
                progress=self.options.progress,
            )
            self._study = search.Study(
                known=known,
                budget_s=self.request.budget_s,
                left_s=self.session.left_s,
                read_profile=self._summary,
                request=request,
                resumes=self.past is not None,
                reserve=self._reserve,
                release=self._release,
                allow=self._allow,
            )
        return self._study

    @property
    def found(self) -> Profile:
        return self.profiles[-1]

    @property
    def rest_s(self) -> float:
        """Time left of the whole budget, including the reserve."""
        return self.session.left_s() + self.reserved_s

    def recommendation(self) -> Recommendation:
        from .. import search

        found, known = self.found, self.study.known
        if self.request.search.dry_run:
            nothing = Verdict(
                status="undecided", speedup=1.0, low=0.0, high=math.inf, rounds=0, floor=self.request.settings.floor
            )
            return Recommendation(
                command=found.command,
                hardware=found.hardware,
                config=Config(),
                verdict=nothing,
                findings=found.findings,
                skipped=known.closed,
                notes=("a dry run: nothing was tried",),
            )
        return search.recommend(
            known,
            self.request.settings,
            command=found.command,
            hardware=found.hardware,
            workload=found.workload,
            findings=found.findings,
            allow_training=self.request.allow_training,
        )

    # --- what the study asks for ------------------------------------------------------------------------------------

    def _summary(self) -> ProfileSummary | None:
        """Return the profile's summary once its windows are in; the search space depends on it."""
        from .. import search
        from ..analysis import assembly
        from ..analysis.fixes import as_diagnosed
        from ..storage import run_store
        from ..target.option_roles import find_options
        from ..target.training_length import training_length

        found = self.profiles[-1] if self.past is not None and self.profiles else self._read_profile()
        evidence = assembly.evidence_of(found)
        if evidence is None or found.workload is None or found.steps is None:
            return None
        self.session.expect(found.steps.mean_s)
        if self.request.storage is not None:
            self.shared.offer(run_store.encoded_profile(found))
        return search.ProfileSummary(
            hardware=found.hardware,
            workload=as_diagnosed(found.workload, found.findings, evidence),
            diagnosis=Diagnosis(findings=found.findings, abstained=found.abstained),
            update_s=found.steps.mean_s,
            length=training_length(
                found.workload,
                self.request.command,
                find_options(found.workload, self.request.command, self.request.search.mapped),
                self.request.updates,
            ),
            start_up_s=found.start_up_s or 0.0,
            samples_per_backward=None
            if found.steps.samples_per_update is None
            else found.steps.samples_per_update / max(found.steps.micro_steps_per_update, 1.0),
            activations_bytes=found.memory.activations_bytes if found.memory is not None else None,
            restart_fraction=found.restarts.share or 0.0 if found.restarts is not None else 0.0,
            computing_fraction=found.phases.get("forward", 0.0) + found.phases.get("backward", 0.0),
        )

    def _read_profile(self) -> Profile:
        from .profile import stored_profile

        found = stored_profile(
            self.run,
            self.request.command,
            self.machine,
            self.isolation,
            self.session.result,
            run_options=self.options.typed(),
        )
        self.profiles.append(found)
        return found

    def _reserve(self) -> float:
        """Reserve time for verification: a number of pairs of fresh processes, each with its start and its window."""
        if not self.request.verify or self.request.budget_s is None:
            return 0.0
        rounds_s = self.request.settings.verify_rounds * self.verification_cost.round_s
        self.reserved_s = min(MOST_RESERVED * self.request.budget_s, rounds_s)
        self.session.reserve(self.reserved_s)
        return self.reserved_s

    @property
    def _has_tried(self) -> bool:
        """True if settings were tried."""
        return any(trial.config.settings for trial in self.study.trials)

    def _release(self) -> float:
        """Give the search the time reserved for verification, but for one round; all of it if nothing was tried yet."""
        kept_s = min(self.reserved_s, self.verification_cost.round_s) if self._has_tried else 0.0
        freed_s = self.reserved_s - kept_s
        if self.request.budget_s is None or freed_s <= 0:
            return 0.0
        self.session.reserve(-freed_s)
        self.reserved_s = kept_s
        return freed_s

    def _more_s(self) -> float:
        """Give a search that has tried nothing yet the time of a verification which would have nothing to verify."""
        return 0.0 if self._has_tried else self._release()

    def _allow(self, trials_s: float) -> None:
        """Plan the time of the trials and of verification, since no budget limits them, and announce it."""
        from ..search.time_plan import TimePlan
        from ..verification.verification_run import ROUNDS

        plan = TimePlan.of(
            knobs=len(self.study.space.knobs),
            trials_s=trials_s,
            round_s=self.verification_cost.round_s,
            rounds=ROUNDS,
            verify=self.request.verify,
        )
        self.session.allow(plan.search_s)
        self.reserved_s = plan.verification_s
        self.options.progress.note(str(plan))

    @property
    def verification_cost(self) -> VerificationCost:
        from ..analysis.profile_plan import first_baseline
        from .verification_cost import VerificationCost

        update_s = start_up_s = 0.0
        first = first_baseline(self.session.result.outcomes)
        if self.past is not None and self.found.steps is not None:
            update_s, start_up_s = self.found.steps.mean_s, self.found.start_up_s or 0.0
        elif first is not None:
            update_s = sum(first.wall_s) / len(first.wall_s)
            start_up_s = self.session.result.script_runs[-1].first_update_at_s or 0.0
        return VerificationCost(update_s=update_s, start_up_s=start_up_s, side_by_side=self.isolation.protects)


@contextlib.contextmanager
def opened(
    request: TuneRequest, options: RunOptions, *, resume: str | None = None, profile: Profile | None = None
) -> Iterator[SearchRun]:
    """Provide everything that a search needs, for as long as the block lasts.

    With `profile`, made by another process on a machine like this one, the search begins with its trials.

    Raises UsageError if the energy cannot be measured, if the storage cannot be opened, or if the run to resume was
    begun with other options.
    """
    from .. import hardware as machines
    from ..runtime import Session
    from ..runtime.protection import protect
    from ..search import trial_log
    from ..search.time_plan import UNPLANNED_S
    from ..storage import run_store, safe_files
    from .past_search import next_folder, past_of, profiled_elsewhere

    loading = threading.Thread(target=_import_ahead, name="advisor-imports", daemon=True)
    command = request.command
    with contextlib.ExitStack() as stack:
        machine = machines.probe(folder=Path(command.cwd))
        counters = _counters(machine) if request.search.goal.name == "energy" else None
        protection = protect(command, options)
        past = past_of(request, run_store.find_run(resume, options.root)) if resume is not None else None
        run = past.run if past is not None else run_store.new_run(options.root, command.target)
        stack.enter_context(safe_files.disk_errors(run.path))
        stack.enter_context(trial_log.held(run.path))
        if past is None:
            trial_log.TrialLog(run.path).begin(request.as_kept())
        if profile is not None:
            past = profiled_elsewhere(profile, request, machine, run)
        shared = _shared(request, run, options.progress)
        stack.callback(shared.close)
        loading.start()
        stack.callback(loading.join, IMPORTED_S)
        session = Session(
            command=command,
            folder=run.path if resume is None else next_folder(run.path),
            isolation=protection,
            options=options,
            loop_budget_s=request.budget_s if request.budget_s is not None else UNPLANNED_S,
            cuts_first_window=request.budget_s is not None,
            max_script_runs=request.settings.max_script_runs,
            outlives_failures=True,
            watch_devices=any(device.kind == "cuda" for device in machine.accelerators),
        )
        yield SearchRun(
            request=request,
            options=options,
            run=run,
            isolation=protection,
            machine=machine,
            session=session,
            meter=_meter(counters, stack),
            shared=shared,
            past=past.trials if past is not None else None,
            profiles=[past.profile] if past is not None and past.profile is not None else [],
        )


def _import_ahead() -> None:
    """Load Optuna, rules and knobs.

    This takes a second, which is better spent while the script starts than between two windows.
    """
    from .. import knobs, rules
    from ..analysis import assembly
    from ..search import tpe

    with contextlib.suppress(Exception):  # whoever needs them raises it where it can be reported
        rules.all_rules()
        knobs.all_knobs()
        tpe.imported()
        assembly.ready()


def _counters(machine: Hardware) -> list[Counter]:
    from ..hardware import energy

    devices = sorted({device.index for device in machine.accelerators if device.kind == "cuda"})
    found, why = energy.counters(devices)
    if not found:
        raise UsageError(f"{parameter('objective', 'energy')} cannot be measured here: {why}")
    return found


def _meter(counters: list[Counter] | None, stack: contextlib.ExitStack) -> Meter | None:
    from ..hardware import energy

    return stack.enter_context(energy.Meter(counters=counters)) if counters else None


def _shared(request: TuneRequest, run: RunFolder, progress: Progress) -> SharedStudy | Alone:
    from ..search import search_alone, shared_study

    if request.storage is None:
        return search_alone.ALONE
    return shared_study.SharedStudy(
        request.storage,
        run.run_id,
        progress.note,
        study=request.study or "",
        follows=request.follows,
        most_trials=request.most_trials,
        redactor=Redactor.of_words(request.command.args, os.environ),
    )
