"""Tune, load, run: the second half of the pipeline, reached through `advisor.api`."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .configuration import LoadedConfig, as_yaml, check_target, load, no_longer_holds, read_document
from .errors import AdvisorError, NothingMeasuredError, ScriptError, SettingsWarning, UsageError
from .progress import SILENT, Progress
from .report.shown import Shown
from .types import Failure, Recommendation, TuneResult

if TYPE_CHECKING:
    from .functions import Trainable
    from .searching import Hunt

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

BUDGET = "2m"
LEAST_BUDGET_S = 5.0
"""Of a search, or of a verification."""
_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


class Tuned(Shown, TuneResult):
    """The result of a search, with its configuration ready for use; it shows itself where it is printed, and in a
    notebook."""

    @property
    def config(self) -> LoadedConfig:
        """What `advisor.yaml` holds; options that go on the script's own command line are in its text only.

        Raises ScriptError or NothingMeasuredError where `failure` is set: then nothing was searched.
        """
        if self.failure is not None:
            raise _no_settings(self.failure)
        found = self.recommendation
        own = {name: value for name, value in found.config.settings if name not in found.carried}
        return LoadedConfig(settings=own, text=as_yaml(self))

    def _repr_html_(self) -> str:
        from .report import tune_fragment

        return tune_fragment(self)


def tune(
    script: Trainable,
    args: Sequence[str] = (),
    *,
    budget: str | float = BUDGET,
    profile: str = "quick",
    knobs: Sequence[str] | None = None,
    no_knobs: Sequence[str] = (),
    objective: str = "throughput",
    price: float | None = None,
    tolerance: str | float | None = None,
    allow_training: bool = False,
    verify: bool = True,
    dry_run: bool = False,
    resume: str | os.PathLike[str] | None = None,
    storage: str | None = None,
    mapped: Mapping[str, tuple[str, float | None]] | None = None,
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
    """Profile a training script and search for better settings in windows of the same process, unmodified.

    `budget` is the time from the first update on: seconds, or text like "90s", "10m", "1h". `profile` names a file of
    `profiles/search`. `knobs` are tried whatever the findings say, and no others; `no_knobs` are left alone.
    `objective`: `throughput`, `memory` (the smallest peak that loses at most `tolerance` of the speed, such as "5%"),
    `energy`, or `cost` (with the `price` of an hour). With `allow_training` what changes the training is recommended
    where it is better. `dry_run` opens the space and tries nothing. `resume` goes on with an interrupted run: `latest`,
    its id or its folder; finished trials are not run again. `storage` is the URL of a database that several machines
    share one search through. `mapped` says which of the script's own options stands for what: role → option and its
    value. The rest is as in `advisor.profile`, functions that train among it, and so is what is raised.

    Returns the trials and what they recommend; `result.config.save("advisor.yaml")` keeps it. A script that fails, or
    that trains nothing, raises nothing: `failure` says what happened, `config` is refused.
    """
    from . import api, searching, store
    from .functions import command_for
    from .proving import prove
    from .session import Limits

    limits = Limits.of(start_limit_s, no_progress_limit_s, memory_limit_bytes)
    root = store.runs_root(Path(runs) if runs is not None else None)
    order = searching.Order.of(
        command_for(script, args, is_module=module, interpreter=python, root=root),
        budget_s=seconds_of(budget),
        profile=profile,
        knobs=knobs,
        no_knobs=no_knobs,
        objective=objective,
        price=price,
        tolerance=tolerance,
        mapped=mapped or {},
        dry_run=dry_run,
        allow_training=allow_training,
        verify=verify,
        storage=storage,
    )
    with searching.opened(
        order,
        root=root,
        resume=None if resume is None else os.fspath(resume),
        isolation=isolation,
        limits=limits,
        trackers_offline=trackers_offline,
        progress=progress,
    ) as hunt:
        interrupted = hunt.carry_out().interrupted
        tuned = _result(hunt, hunt.recommendation())
        keep(tuned)
        if interrupted is None and tuned.failure is None:
            proof = prove(hunt, tuned.recommendation, limits=limits, trackers_offline=trackers_offline)
            tuned, interrupted = _result(hunt, proof.recommendation), proof.interrupted
            keep(tuned)
    progress.close()
    if interrupted is not None:
        raise api.interrupted(hunt.run, interrupted, found=tuned) from interrupted
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
    told = no_longer_holds(document, python=wanted.interpreter)
    if told:
        warnings.warn(f"{config}: {'; '.join(told)}", SettingsWarning, stacklevel=2)
    if replace_process:
        real.become(wanted, document.config)
    return real.spawn(wanted, document.config)


def seconds_of(text: str | float, *, least_s: float = LEAST_BUDGET_S) -> float:
    """Seconds of "90", "90s", "1.5m", "1h"; UsageError for anything else, and for less than can be used."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([smh]?)\s*", str(text))
    if match is None:
        raise UsageError(f"the budget {text!r} is no time: write 90s, 10m or 1h")
    seconds = float(match[1]) * _UNITS_S[match[2]]
    if seconds < least_s:
        raise UsageError(f"a budget of {seconds:g} s is too short: give {least_s:g} s or more")
    return seconds


def _result(hunt: Hunt, recommendation: Recommendation) -> Tuned:
    from .search import options_told

    study, folder, found = hunt.study, str(hunt.run.path), hunt.found
    finals = study.known.finals
    standing = study.known.standings().get(recommendation.config)
    return Tuned(
        profile=replace(found, run_folder=folder),
        trials=tuple(replace(trial, measured_again=finals.get(trial.config)) for trial in study.trials),
        recommendation=recommendation,
        objective=study.known.goal.told(
            study.trials[0].outcome if study.trials else None, standing.score if standing is not None else None
        ),
        budget_s=hunt.order.budget_s,
        importances=study.known.importances(),
        space=study.space.knobs,
        only=hunt.order.asked.wishes.only,
        options=options_told(study.space.command_line.options),
        between_windows_s=tuple(hunt.session.result.between_s),
        failure=found.failure if not study.trials else None,
        run_folder=folder,
    )


def _no_settings(failure: Failure) -> AdvisorError:
    message = f"there are no settings, since nothing was searched: {failure.message}"
    if failure.kind == "no_steps":
        return NothingMeasuredError(message)
    return ScriptError(message, stderr_tail=failure.stderr_tail, kind=failure.kind)


def keep(result: TuneResult) -> None:
    """Store the result in its run's folder, to be shown again."""
    from .store import RunFolder, save_tune

    save_tune(result, RunFolder(path=Path(result.run_folder)))
