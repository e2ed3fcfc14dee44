"""Worker of a named study: runs trials of a search that somebody else has begun, until it is over."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..durations import seconds_of
from ..errors import InterruptedByUserError, StorageError
from ..progress import SILENT, Progress

if TYPE_CHECKING:
    from ..types import Profile
    from .tune import Tuned
    from .tune_request import TuneRequest


@dataclass(frozen=True, kw_only=True)
class Worked:
    """Work that a worker has done."""

    study: str
    ended: str
    """Reason why it tried nothing more."""
    here: int = 0
    """Trials that it has run."""
    elsewhere: int = 0
    """Trials of other processes that it has heard of."""
    has_more: bool = False
    """True if it ended after as many trials as it was asked for: the search goes on without it."""
    tuned: Tuned | None = None
    """Its search; None if that of its machine was over before."""


def worker(
    study: str,
    *,
    storage: str,
    args: Sequence[str] = (),
    budget: str | float | None = None,
    trials: int | None = None,
    wait: str | float | None = None,
    python: str | None = None,
    isolation: str = "auto",
    runs: str | os.PathLike[str] | None = None,
    start_limit_s: float | None = None,
    no_progress_limit_s: float | None = None,
    memory_limit_bytes: int | None = None,
    trackers_offline: bool = True,
    progress: Progress = SILENT,
) -> Worked:
    """Run trials of a study that `advisor.tune(study=…, storage=…)` has begun, in the folder of the same project.

    Script, arguments and options of the search come from the study. `args` are needed only if they hold secrets, which
    a study does not store. `budget` replaces the study's, `trials` is the most that this worker runs, and `wait` how
    long it waits for the study to be begun. The worker ends when a process on a machine like this one finds that
    nothing is left to try.

    Raises UsageError for an unknown study, for one of another project or version of advisor, and for a storage that
    does not answer.
    """
    from ..runtime import RunOptions
    from . import study_record
    from .tune import carried_out
    from .tune_request import checked

    options = RunOptions(
        isolation=isolation,
        runs=runs,
        start_limit_s=start_limit_s,
        no_progress_limit_s=no_progress_limit_s,
        memory_limit_bytes=memory_limit_bytes,
        trackers_offline=trackers_offline,
        python=python,
        progress=progress,
    )
    wait_s = seconds_of(wait, least_s=0.0, name="wait") if wait is not None else 0.0
    record = study_record.waited_for(storage, study, wait_s, progress)
    study_record.check_version(study, record)
    command = study_record.command_of(study, record, args, python)
    study_record.check_project(study, record, study_record.project_digest(command))
    asked = study_record.asked_of(record)
    if budget is not None:
        asked["budget"] = budget
    request = checked(command, asked, verify=False, storage=storage, study=study)
    # The finals, and verification, are the work of the search that began the study.
    settings = replace(request.settings, final_rounds=0, most_final_rounds=0)
    request = replace(request, follows=True, most_trials=trials, settings=settings)
    over, profile = begun(request)
    if over:
        progress.close()
        return Worked(study=study, ended=over)
    try:
        tuned, shared = carried_out(request, options, profile=profile)
    except InterruptedByUserError as interruption:
        message = f"interrupted; its trials are in the study {study}, and what it was trying is left to other workers"
        by = interruption.__cause__ or KeyboardInterrupt()
        raise InterruptedByUserError(message, by=by, run_folder=interruption.run_folder) from interruption
    has_more = trials is not None and shared.told >= trials
    return Worked(
        study=study, ended=tuned.ended, here=shared.told, elsewhere=shared.heard, has_more=has_more, tuned=tuned
    )


def begun(request: TuneRequest) -> tuple[str, Profile | None]:
    """Return why the study's search on machines like this one is over, and the profile that it began with.

    The first is empty while the search goes on. The second is None if nobody has profiled, and for the energy, which a
    profile does not measure.
    """
    from .. import hardware as machines
    from ..search import studies
    from ..search.shared_study import search_name
    from ..settings_file.loaded import torch_version
    from ..storage import run_store
    from .study_record import connected

    command, goal = request.command, request.search.goal
    machine = studies.machine_key(machines.probe(folder=Path(command.cwd)), torch_version(command.interpreter))
    name = search_name(request.study or "", goal, studies.identity_of(command), machine)
    with connected(request.storage or "") as engine:
        over, stored = studies.ended(engine, name), studies.profile_of(engine, name)
    if over or not stored or goal.name == "energy":
        return over, None
    with contextlib.suppress(StorageError):  # somebody else's: the worker makes its own
        return "", run_store.decoded_profile(stored.encode("ascii", "replace"), Path(f"study {request.study}"))
    return "", None
