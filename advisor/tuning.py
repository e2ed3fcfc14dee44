"""Tune, load, run: the second half of the pipeline, reached through `advisor.api`."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .configuration import LoadedConfig, as_yaml, check_target, elsewhere, load, read_document
from .errors import SettingsWarning, UsageError
from .progress import SILENT, Progress
from .types import Diagnosis, Hardware, Profile, Recommendation, TuneResult, Workload

if TYPE_CHECKING:
    from .search import Study

__all__ = [
    "LoadedConfig",
    "Tuned",
    "as_yaml",
    "check_target",
    "keep",
    "load",
    "read_document",
    "run",
    "seconds_of",
    "tune",
]

BUDGET = "60s"
LEAST_BUDGET_S = 5.0
MOST_LIVES = 12
"""Starts of the script in one search: a setting that it cannot take costs one each."""
_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


class Tuned(TuneResult):
    """The result of a search, with its configuration ready for use; it shows itself in a notebook."""

    @property
    def config(self) -> LoadedConfig:
        return LoadedConfig(settings=self.recommendation.config.as_dict(), text=as_yaml(self))

    def _repr_html_(self) -> str:
        from .report import tune_fragment

        return tune_fragment(self)


def tune(
    script: str | os.PathLike[str],
    args: Sequence[str] = (),
    *,
    budget: str | float = BUDGET,
    profile: str = "quick",
    module: bool = False,
    python: str | None = None,
    isolation: str = "auto",
    runs: str | os.PathLike[str] | None = None,
    start_limit_s: float | None = None,
    no_progress_limit_s: float | None = None,
    memory_limit_bytes: int | None = None,
    trackers_offline: bool = True,
    progress: Progress = SILENT,
) -> Tuned:
    """Profile a training script and search for faster settings in windows of the same process, unmodified.

    `budget` is the time from the first update on: seconds, or text like "90s", "10m", "1h". `profile` names a file of
    `profiles/search`. The rest is as in `advisor.profile`, and so is what is raised.

    Returns the trials and what they recommend; `result.config.save("advisor.yaml")` keeps it.
    """
    from . import api, search, store
    from . import command as commands
    from . import hardware as machines
    from .session import Limits, Session, assembly
    from .session import isolation as isolations

    budget_s = seconds_of(budget)
    settings = search.read(profile)
    wanted = commands.build(os.fspath(script), list(args), is_module=module, interpreter=python)
    root = store.runs_root(Path(runs) if runs is not None else None)
    run = store.new_run(root, wanted.target)
    tier = isolations.choose(isolation, project=Path(wanted.cwd), scratch=root / "scratch")
    machine = machines.probe(folder=Path(wanted.cwd))
    session = Session(
        command=wanted,
        folder=run.path,
        tier=tier,
        limits=Limits.of(start_limit_s, no_progress_limit_s, memory_limit_bytes),
        loop_budget_s=budget_s,
        progress=progress,
        trackers_offline=trackers_offline,
        most_lives=MOST_LIVES,
        outlives_failures=True,
    )
    profiles: list[Profile] = []

    def look() -> tuple[Hardware, Workload, Diagnosis] | None:
        """The profile as soon as its windows are in: what is searched hangs on it."""
        found = api.stored_profile(run, wanted, machine, tier, session.result)
        profiles.append(found)
        if found.workload is None or found.steps is None:
            return None
        return found.hardware, found.workload, Diagnosis(findings=found.findings, abstained=found.abstained)

    study = search.Study(
        result=session.result,
        settings=settings,
        budget_s=budget_s,
        left_s=session.left_s,
        look=look,
        folder=run.path,
        progress=progress,
    )
    result = session.run(study.plan(lambda: assembly.workload_of(session.result.lives[-1])))
    study.conclude()
    found = profiles[-1] if profiles else api.stored_profile(run, wanted, machine, tier, result)
    progress.close()
    tuned = _result(found, study, settings, str(run.path))
    keep(tuned)
    if result.interrupted is not None:
        raise api.interrupted(run, result.interrupted) from result.interrupted
    return tuned


def run(
    config: str | os.PathLike[str],
    script: str | os.PathLike[str],
    args: Sequence[str] = (),
    *,
    module: bool = False,
    python: str | None = None,
    replace_process: bool = False,
) -> int:
    """Run the real training with the settings of an `advisor.yaml`; terminal, files and exit code are the script's own.

    Returns the script's exit code (128 + signal where one ended it). With `replace_process` this process becomes the
    script's, and the call does not return. Raises UsageError where it cannot be started. Warns (`SettingsWarning`)
    where the settings were found on other hardware or with another torch.
    """
    from . import command as commands
    from .session import real

    document = read_document(Path(config))
    typed = commands.build(os.fspath(script), list(args), is_module=module, interpreter=python)
    wanted = commands.with_arguments(typed, document.arguments)
    told = elsewhere(document, python=wanted.interpreter)
    if told:
        warnings.warn(f"{config}: {'; '.join(told)}", SettingsWarning, stacklevel=2)
    if replace_process:
        real.become(wanted, document.config)
    return real.spawn(wanted, document.config)


def seconds_of(text: str | float) -> float:
    """Seconds of "90", "90s", "1.5m", "1h"; UsageError for anything else, and for less than a search can use."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([smh]?)\s*", str(text))
    if match is None:
        raise UsageError(f"the budget {text!r} is no time: write 90s, 10m or 1h")
    seconds = float(match[1]) * _UNITS_S[match[2]]
    if seconds < LEAST_BUDGET_S:
        raise UsageError(f"a budget of {seconds:g} s is too short to search in: give {LEAST_BUDGET_S:g} s or more")
    return seconds


def _result(found: Profile, study: Study, settings: Any, folder: str) -> Tuned:
    from . import search

    recommendation: Recommendation = search.recommend(
        study,
        settings,
        command=found.command,
        hardware=found.hardware,
        workload=found.workload,
        findings=found.findings,
    )
    return Tuned(
        profile=replace(found, run_folder=folder),
        trials=tuple(study.trials),
        recommendation=recommendation,
        failure=found.failure if not study.trials else None,
        run_folder=folder,
    )


def keep(result: TuneResult) -> None:
    """Store the result in its run's folder, to be shown again."""
    from .store import RunFolder, save_tune

    save_tune(result, RunFolder(path=Path(result.run_folder)))
