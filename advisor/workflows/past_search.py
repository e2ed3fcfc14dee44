"""Searches that do not begin at their beginning: one that is resumed, and one that begins with another's profile."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..redaction import Redactor
from ..types import Hardware, Profile, Trial, TrialOutcome

if TYPE_CHECKING:
    from ..storage.run_store import RunFolder
    from .tune_request import TuneRequest


@dataclass(frozen=True, kw_only=True)
class Past:
    run: RunFolder
    trials: list[Trial] | None
    """None if its profile had not ended: it is then run again."""
    profile: Profile | None


def past_of(request: TuneRequest, run: RunFolder) -> Past:
    """Read the run to resume; raise UsageError if its options differ, StorageError if nothing can be resumed."""
    from ..search import trial_log
    from ..storage import run_store

    found = trial_log.read(run.path)
    trial_log.check_alike(found, request.as_kept(), run.path)
    if not found.trials or not run.has_profile:
        return Past(run=run, trials=None, profile=None)
    profile = run_store.load_profile(run.profile_path)
    trials = list(found.trials)
    if trials[0].number != 0 and profile.steps is not None:
        trials.insert(0, _as_profiled(profile))
    return Past(run=run, trials=trials, profile=profile)


def profiled_elsewhere(profile: Profile, request: TuneRequest, machine: Hardware, run: RunFolder) -> Past:
    """Store the profile as this run's own, and return it with its trial."""
    from ..storage import run_store

    kept = replace(
        profile,
        run_id=run.run_id,
        run_folder=str(run.path),
        command=Redactor().of(request.command),
        hardware=replace(profile.hardware, hostname=machine.hostname),
    )
    run_store.save_profile(kept, run)
    return Past(run=run, trials=[_as_profiled(kept)], profile=kept)


def _as_profiled(profile: Profile) -> Trial:
    """Rebuild trial 0 from the profile, which measured it too, if its line in the log was torn."""
    from ..search.trial_log import BASELINE_TRIAL

    outcome = TrialOutcome(
        kind="measured",
        samples_per_s=profile.steps.samples_per_s if profile.steps is not None else None,
        peak_bytes=profile.memory.peak_bytes if profile.memory is not None else None,
    )
    return replace(BASELINE_TRIAL, outcome=outcome)


def next_folder(folder: Path) -> Path:
    """Create the folder for the script runs of a resumed search; the earlier ones keep their logs."""
    number = 1
    while True:
        with contextlib.suppress(FileExistsError):
            path = folder / f"resumed-{number}"
            path.mkdir(mode=0o700)
            return path
        number += 1
