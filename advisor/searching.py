"""One search with all that it stands on: run folder, session, study, meter; opened, carried out, and read."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UsageError
from .progress import SILENT, Progress
from .types import Command, Config, Diagnosis, Hardware, Profile, Recommendation, Trial, TrialOutcome, Verdict

if TYPE_CHECKING:
    from .hardware.energy import Counter, Meter
    from .search import Asked, SearchSettings, Seen, Study
    from .search.shared import SharedStudy
    from .session import Limits, Session, SessionResult
    from .session.isolation import Tier
    from .store import RunFolder

MOST_RESERVED = 0.5
"""Of the budget, for verifying: a search that gets less finds nothing to verify."""
ENDED_S = 0.5
"""A process is ended and its view taken down."""
IMPORTED_S = 30.0
"""How long the libraries of the search may take to load; they have the script's own start for it."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What was asked for, checked before anything is run; `of` makes it from what a user wrote."""

    command: Command
    budget_s: float
    profile: str
    settings: SearchSettings
    asked: Asked
    allow_training: bool = False
    verify: bool = True
    storage: str | None = None

    @classmethod
    def of(
        cls,
        command: Command,
        *,
        budget_s: float,
        profile: str,
        knobs: Sequence[str] | None,
        no_knobs: Sequence[str],
        objective: str,
        price: float | None,
        tolerance: str | float | None,
        mapped: Mapping[str, tuple[str, float | None]],
        dry_run: bool,
        allow_training: bool,
        verify: bool,
        storage: str | None,
    ) -> Order:
        """Raises UsageError for what is not known or does not go together."""
        from . import search
        from .search import shared

        settings = search.read(profile)
        if storage is not None:
            shared.check_url(storage)
        return cls(
            command=command,
            budget_s=budget_s,
            profile=profile,
            settings=settings,
            asked=search.Asked(
                goal=search.Goal.of(objective, price=price, tolerance=tolerance),
                wishes=search.Wishes.of(knobs, no_knobs, settings.open),
                command=command,
                mapped=mapped,
                dry_run=dry_run,
            ),
            allow_training=allow_training,
            verify=verify and not dry_run,
            storage=storage,
        )

    def as_kept(self) -> dict[str, Any]:
        """What a search that goes on must have in common with the one that began; its budget may be another."""
        goal, wishes, command = self.asked.goal, self.asked.wishes, self.command
        return {
            "script": command.target,
            "module": command.is_module,
            "arguments": list(command.args),
            "folder": command.cwd,
            "interpreter": command.interpreter,
            "profile": self.profile,
            "objective": goal.name,
            "price": goal.price_per_hour,
            "tolerance": goal.tolerance,
            "knobs": None if wishes.only is None else list(wishes.only),
            "no_knobs": list(wishes.without),
            "mapped": {role: list(found) for role, found in self.asked.mapped.items()},
        }


@dataclass(kw_only=True)
class Hunt:
    """A search that is under way, or over."""

    order: Order
    run: RunFolder
    tier: Tier
    machine: Hardware
    session: Session
    progress: Progress
    meter: Meter | None = None
    shared: SharedStudy | None = None
    past: list[Trial] | None = None
    """Of the search that this one goes on with."""
    profiles: list[Profile] = field(default_factory=list)
    reserved_s: float = 0.0
    _study: Study | None = None

    def carry_out(self) -> SessionResult:
        """The whole search; what it found is on the disk, whatever ends it."""
        from .session import assembly

        study, session = self.study, self.session
        result = session.run(study.plan(lambda: assembly.workload_of(session.result.lives[-1])))
        study.conclude()
        if not self.profiles:
            self._look()
        return result

    @property
    def study(self) -> Study:
        from . import search

        if self._study is None:
            self._study = search.Study(
                result=self.session.result,
                settings=self.order.settings,
                budget_s=self.order.budget_s,
                left_s=self.session.left_s,
                look=self._seen,
                folder=self.run.path,
                asked=self.order.asked,
                past=self.past,
                reserve=self._reserve,
                joules=self.meter.joules if self.meter is not None else None,
                shared=self.shared,
                progress=self.progress,
            )
        return self._study

    @property
    def found(self) -> Profile:
        return self.profiles[-1]

    @property
    def rest_s(self) -> float:
        """Of the whole budget, what was reserved included."""
        return self.session.left_s() + self.reserved_s

    def recommendation(self) -> Recommendation:
        from . import search

        found, known = self.found, self.study.known
        if self.order.asked.dry_run:
            nothing = Verdict(
                status="undecided", speedup=1.0, low=0.0, high=math.inf, rounds=0, floor=self.order.settings.floor
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
            self.order.settings,
            command=found.command,
            hardware=found.hardware,
            workload=found.workload,
            findings=found.findings,
            allow_training=self.order.allow_training,
        )

    # --- what the study asks for ------------------------------------------------------------------------------------

    def _seen(self) -> Seen | None:
        """The profile as soon as its windows are in: what is searched hangs on it."""
        from . import search

        found = self.profiles[-1] if self.past is not None and self.profiles else self._look()
        if found.workload is None or found.steps is None:
            return None
        self.session.expect(found.steps.mean_s)
        return search.Seen(
            hardware=found.hardware,
            workload=search.as_diagnosed(found.workload, found.findings),
            diagnosis=Diagnosis(findings=found.findings, abstained=found.abstained),
            update_s=found.steps.mean_s,
            start_up_s=found.start_up_s or 0.0,
            activations_bytes=found.memory.activations_bytes if found.memory is not None else None,
            computing_fraction=found.phases.get("forward", 0.0) + found.phases.get("backward", 0.0),
        )

    def _look(self) -> Profile:
        from . import api

        found = api.stored_profile(self.run, self.order.command, self.machine, self.tier, self.session.result)
        self.profiles.append(found)
        return found

    def _reserve(self) -> float:
        """Time for verifying: so many pairs of fresh processes, each with its start and its window."""
        if not self.order.verify:
            return 0.0
        processes = 2 * self.order.settings.verify_rounds
        self.reserved_s = min(MOST_RESERVED * self.order.budget_s, processes * self.process_s())
        self.session.reserve(self.reserved_s)
        return self.reserved_s

    def process_s(self) -> float:
        """What one process of the verification takes, about; 0 where the script's pace is not known."""
        from .session import rounds
        from .session.probe import as_written

        first = as_written(self.session.result.outcomes)
        if self.past is not None and self.found.steps is not None:
            update_s, start_up_s = self.found.steps.mean_s, self.found.start_up_s or 0.0
        elif first is not None:
            update_s = sum(first.wall_s) / len(first.wall_s)
            start_up_s = self.session.result.lives[-1].first_update_at_s or 0.0
        else:
            return 0.0
        window_s = min(max(rounds.WINDOW_S, rounds.UPDATES * update_s), rounds.MOST_WINDOW_S)
        return start_up_s + rounds.WARM_UP_UPDATES * update_s + window_s + ENDED_S


@contextlib.contextmanager
def opened(
    order: Order,
    *,
    root: Path,
    resume: str | None = None,
    isolation: str = "auto",
    limits: Limits,
    trackers_offline: bool = True,
    progress: Progress = SILENT,
) -> Iterator[Hunt]:
    """Everything that a search needs, for as long as the block lasts.

    Raises UsageError where the energy cannot be measured, the storage cannot be opened, or the run to go on with was
    begun otherwise.
    """
    from . import hardware as machines
    from . import store
    from .search import log
    from .session import Session
    from .session.protection import protect

    loading = threading.Thread(target=_import_ahead, name="advisor-imports", daemon=True)
    command = order.command
    with contextlib.ExitStack() as stack:
        machine = machines.probe(folder=Path(command.cwd))
        counters = _counters(machine) if order.asked.goal.name == "energy" else None
        tier = protect(command, isolation, root=root, progress=progress)
        past = _past(order, store.find_run(resume, root)) if resume is not None else None
        run = past.run if past is not None else store.new_run(root, command.target)
        stack.enter_context(store.disk_errors(run.path))
        stack.enter_context(log.held(run.path))
        if past is None:
            log.TrialLog(run.path).begin(order.as_kept())
        shared = _shared(order.storage, run, progress)
        loading.start()
        stack.callback(loading.join, IMPORTED_S)
        session = Session(
            command=command,
            folder=run.path if past is None else _next_folder(run.path),
            tier=tier,
            limits=limits,
            loop_budget_s=order.budget_s,
            progress=progress,
            trackers_offline=trackers_offline,
            most_lives=order.settings.most_lives,
            outlives_failures=True,
            watch_devices=any(device.kind == "cuda" for device in machine.accelerators),
        )
        yield Hunt(
            order=order,
            run=run,
            tier=tier,
            machine=machine,
            session=session,
            progress=progress,
            meter=_meter(counters, stack),
            shared=shared,
            past=past.trials if past is not None else None,
            profiles=[past.profile] if past is not None and past.profile is not None else [],
        )


def _import_ahead() -> None:
    """Optuna, scikit-learn, rules and knobs take a second to load: better while the script starts than between two
    windows."""
    from . import knobs, rules
    from .search import sampler
    from .session import assembly

    with contextlib.suppress(Exception):  # whoever needs them raises it where it can be told
        rules.all_rules()
        knobs.all_knobs()
        sampler.imported()
        assembly.ready()
        import sklearn.linear_model  # noqa: F401


def _counters(machine: Hardware) -> list[Counter]:
    from .hardware import energy

    devices = sorted({device.index for device in machine.accelerators if device.kind == "cuda"})
    found, why = energy.counters(devices)
    if not found:
        raise UsageError(f"--objective energy cannot be measured here: {why}")
    return found


def _meter(counters: list[Counter] | None, stack: contextlib.ExitStack) -> Meter | None:
    from .hardware import energy

    return stack.enter_context(energy.Meter(counters=counters)) if counters else None


def _shared(url: str | None, run: RunFolder, progress: Progress) -> SharedStudy | None:
    from .search import shared

    return shared.SharedStudy(url, run.run_id, progress.note) if url is not None else None


# --- going on with a search -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Past:
    run: RunFolder
    trials: list[Trial] | None
    """None where its profile had not ended: then that is run again."""
    profile: Profile | None


def _past(order: Order, run: RunFolder) -> _Past:
    """What the run holds; UsageError where it was begun otherwise, StorageError where nothing can be gone on with."""
    from . import store
    from .search import log

    found = log.read(run.path)
    log.check_alike(found, order.as_kept(), run.path)
    if not found.trials or not run.has_profile:
        return _Past(run=run, trials=None, profile=None)
    profile = store.load_profile(run.profile_path)
    trials = list(found.trials)
    if trials[0].number != 0 and profile.steps is not None:
        trials.insert(0, _as_profiled(profile))
    return _Past(run=run, trials=trials, profile=profile)


def _as_profiled(profile: Profile) -> Trial:
    """Trial 0 of a log whose line of it was torn: the profile has measured it, too."""
    from .search.knowledge import AS_IT_WAS

    outcome = TrialOutcome(
        kind="measured",
        samples_per_s=profile.steps.samples_per_s if profile.steps is not None else None,
        peak_bytes=profile.memory.peak_bytes if profile.memory is not None else None,
    )
    return replace(AS_IT_WAS, outcome=outcome)


def _next_folder(folder: Path) -> Path:
    """For the lives of a search that goes on: those before keep their logs."""
    number = 1
    while True:
        with contextlib.suppress(FileExistsError):
            path = folder / f"resumed-{number}"
            path.mkdir(mode=0o700)
            return path
        number += 1
