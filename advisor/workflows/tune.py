"""Search for settings of a script, with verification and storage of the result."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import AdvisorError, NothingMeasuredError, ScriptError
from ..errors import interrupted as interrupted_error
from ..progress import SILENT, Progress
from ..redaction import Redactor
from ..settings_file.loaded import LoadedConfig, as_yaml
from ..types import Failure, Profile, Recommendation, SettingValue, TuneResult
from .shown import Shown
from .tune_request import USUAL_PRESET

if TYPE_CHECKING:
    from ..runtime import RunOptions
    from ..search.search_alone import Alone
    from ..search.shared_study import SharedStudy
    from ..target.function import Trainable
    from .search_run import SearchRun
    from .tune_request import Asked, TuneRequest


class Tuned(Shown, TuneResult):
    """The result of a search, with its configuration ready for use; it shows its report in print and in notebooks."""

    @property
    def config(self) -> LoadedConfig:
        """Return the settings of `advisor.yaml`; options and constants of the script are in its text only.

        Raises ScriptError or NothingMeasuredError if `failure` is set: nothing was searched then.
        """
        if self.failure is not None:
            raise _no_settings(self.failure)
        return LoadedConfig(settings=self.recommendation.by_agent, text=as_yaml(self))

    @property
    def status(self) -> str:
        """Status of the verdict: faster, unproven, no significant gain, slower, undecided or unverified."""
        return self.recommendation.verdict.status

    @property
    def speedup(self) -> float:
        """Speed-up of the recommended settings over the baseline; 1.0 if none are recommended."""
        return self.recommendation.verdict.speedup

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of `speedup`; 0 and infinity if nothing was compared."""
        return self.recommendation.verdict.low, self.recommendation.verdict.high

    @property
    def settings(self) -> dict[str, SettingValue]:
        """Recommended settings by knob; empty if the baseline is the best to run."""
        return self.recommendation.config.as_dict()

    def _repr_html_(self) -> str:
        from ..report.search.html import tune_fragment

        return tune_fragment(self)


def tune(
    script: Trainable,
    args: Sequence[str] = (),
    *,
    budget: str | float | None = None,
    preset: str = USUAL_PRESET,
    profile: str | None = None,
    knobs: Sequence[str] | None = None,
    no_knobs: Sequence[str] = (),
    objective: str = "throughput",
    price: float | None = None,
    tolerance: str | float | None = None,
    updates: int | None = None,
    allow_training: bool = False,
    verify: bool = True,
    dry_run: bool = False,
    resume: str | os.PathLike[str] | None = None,
    storage: str | None = None,
    study: str | None = None,
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

    `budget` is the time from the first update on: seconds, or text like "90s", "10m", "1h". Without it, the search
    plans the time that a decision takes, announces it, and ends early if it finds nothing more. `preset` names a file
    of `profiles/search`; it was called `profile` in 0.1. `knobs` are tried whatever the findings say, and no others;
    `no_knobs` are left alone.

    `objective` is `throughput`, `memory` (the smallest peak that loses at most `tolerance` of the speed, such as "5%"),
    `energy`, or `cost` (with the `price` of an hour). Settings that cost their time at the start, or help only from the
    second epoch on, are weighed by the length of the training: `updates`, or what the script's options and loops say.
    With `allow_training`, a configuration that changes the training is recommended if it is better. `dry_run` opens the
    space and tries nothing.

    `resume` continues an interrupted run: `latest`, its id or its folder; finished trials are not run again. `storage`
    is the URL of a database through which several machines share one search, and `study` the name under which
    `advisor worker` finds it there. `mapped` gives the meaning of the script's
    own options and constants: role → option or constant, and its value. The other parameters (including functions that
    train) and the errors are those of `advisor.profile`.

    Returns the trials and the recommendation; `result.config.save("advisor.yaml")` keeps it. A script that fails or
    trains nothing raises no error: `failure` says what happened, and `config` is refused.
    """
    from ..runtime import RunOptions
    from ..target.function import command_for
    from . import study_record
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
    command = command_for(script, args, is_module=module, interpreter=python, root=options.root)
    asked: Asked = {
        "budget": budget,
        "preset": _preset(preset, profile),
        "knobs": knobs,
        "no_knobs": no_knobs,
        "mapped": mapped or {},
        "objective": objective,
        "price": price,
        "tolerance": tolerance,
        "updates": updates,
        "allow_training": allow_training,
    }
    request = checked(command, asked, verify=verify and not dry_run, dry_run=dry_run, storage=storage, study=study)
    if study is not None and not dry_run:
        study_record.begin(request, asked)
    tuned, _shared = carried_out(request, options, resume=None if resume is None else os.fspath(resume))
    return tuned


def carried_out(
    request: TuneRequest, options: RunOptions, *, resume: str | None = None, profile: Profile | None = None
) -> tuple[Tuned, SharedStudy | Alone]:
    """Carry a search out, verify and store its result; return it with what the search shared.

    `profile` is one of another process, with which the search begins.

    Raises InterruptedByUserError, with the result so far, if the user ended it.
    """
    from .prove import prove
    from .search_run import opened

    with opened(request, options, resume=resume, profile=profile) as search_run:
        interrupted = search_run.carry_out().interrupted
        tuned = _result(search_run, search_run.recommendation())
        keep(tuned)
        if interrupted is None and tuned.failure is None:
            proof = prove(search_run, tuned.recommendation)
            tuned, interrupted = _result(search_run, proof.recommendation), proof.interrupted
            keep(tuned)
    options.progress.close()
    if interrupted is not None:
        raise interrupted_error(search_run.run.run_id, search_run.run.path, interrupted, found=tuned) from interrupted
    return tuned, search_run.shared


def _preset(preset: str, old_name: str | None) -> str:
    if old_name is None:
        return preset
    warnings.warn("tune(profile=…) is deprecated: use preset=", FutureWarning, stacklevel=3)
    return old_name


def _result(search_run: SearchRun, recommendation: Recommendation) -> Tuned:
    from ..search import describe_options

    study, folder, found = search_run.study, str(search_run.run.path), search_run.found
    finals = study.known.finals
    final_result = study.known.final_results().get(recommendation.config)
    chosen = next((trial for trial in study.trials if trial.config == recommendation.config), None)
    if chosen is not None and recommendation.config.settings:
        gain = study.known.scores.training_gain(
            recommendation.config, recommendation.verdict.speedup, chosen.outcome.set_up_s
        )
        recommendation = replace(recommendation, training=gain)
    tuned = Tuned(
        profile=replace(found, run_folder=folder),
        trials=tuple(replace(trial, measured_again=finals.get(trial.config)) for trial in study.trials),
        recommendation=recommendation,
        objective=study.known.goal.objective(
            study.trials[0].outcome if study.trials else None, final_result.score if final_result is not None else None
        ),
        budget_s=search_run.request.budget_s,
        importances=study.known.importances(),
        limits=tuple(study.known.limits),
        space=study.space.knobs,
        only=search_run.request.search.selection.only,
        options=describe_options(study.space.command_line.options),
        search_options=search_run.request.typed(),
        ended=study.ended,
        between_windows_s=tuple(search_run.session.result.between_s),
        failure=found.failure if not study.trials else None,
        run_folder=folder,
    )
    return Redactor.of_words(search_run.request.command.args, os.environ).of(tuned)


def _no_settings(failure: Failure) -> AdvisorError:
    message = f"there are no settings, because nothing was searched: {failure.message}"
    if failure.kind == "no_steps":
        return NothingMeasuredError(message)
    return ScriptError(message, stderr_tail=failure.stderr_tail, kind=failure.kind)


def keep(result: TuneResult) -> None:
    """Store the result in its run's folder, so that it can be shown again."""
    from ..storage.run_store import RunFolder, save_tune

    save_tune(result, RunFolder(path=Path(result.run_folder)))
