"""Search for settings that learn sooner, judged by the time to a loss, with verification and storage of the result."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from ..durations import seconds_of
from ..errors import interrupted as interrupted_error
from ..progress import SILENT, Progress
from ..redaction import Redactor
from ..types import Config, LearningObjective, LearningResult, LearningVerdict, Recommendation, Verdict
from ..types.learning import recommends
from ..unknown_name import UnknownNameError
from .learning_request import LearningRequest
from .shown import Shown

if TYPE_CHECKING:
    from ..settings_file.loaded import LoadedConfig
    from ..target.function import Trainable
    from .learning_run import LearningRun

OBJECTIVES: tuple[str, ...] = get_args(LearningObjective)
_STATUS: dict[str, Literal["faster", "no significant gain", "slower", "undecided", "unverified"]] = {
    "faster": "faster",
    "better": "faster",
    "slower": "slower",
    "worse": "slower",
    "loses at the end": "slower",
    "no significant gain": "no significant gain",
    "undecided": "undecided",
    "unverified": "unverified",
}
"""Status of other searches that means the same to files and exports."""


class Learned(Shown, LearningResult):
    """The result of a search by losses, with its settings ready for use; it shows its report in print."""

    @property
    def config(self) -> LoadedConfig:
        """Return the settings of `advisor.yaml`; empty if the script as written is the best to run."""
        from ..settings_file.loaded import LoadedConfig, learned_yaml

        return LoadedConfig(settings=self.recommendation.by_agent, text=learned_yaml(self))

    @property
    def status(self) -> str:
        """Status of the verdict: faster, better, slower, worse, loses at the end, undecided …"""
        return self.verdict.status

    def _repr_html_(self) -> str:
        from ..report.search.learning_html import learning_fragment

        return learning_fragment(self)


def tune_learning(
    script: Trainable,
    args: Sequence[str] = (),
    *,
    horizon: str | float,
    objective: str = "time_to_loss",
    budget: str | float | None = None,
    knobs: Sequence[str] | None = None,
    no_knobs: Sequence[str] = (),
    config: str | os.PathLike[str] | None = None,
    verify: bool = True,
    metric: str | None = None,
    resume: str | os.PathLike[str] | None = None,
    module: bool = False,
    python: str | None = None,
    isolation: str = "auto",
    runs: str | os.PathLike[str] | None = None,
    start_limit_s: float | None = None,
    no_progress_limit_s: float | None = None,
    memory_limit_bytes: int | None = None,
    trackers_offline: bool = True,
    progress: Progress = SILENT,
) -> Learned:
    """Search for a learning rate, schedule, momentum and batch that reach a loss sooner than the script as written.

    Every candidate is a training in a process of its own, from the script's start: first over a ninth of the horizon,
    the best over a third, two over all of it; schedules are scaled to each. `horizon` is a number of updates ("2000"),
    or a time ("5m"). `objective` is `time_to_loss` (the target is what the script as written reaches at the end of the
    horizon) or `loss_at_time` (the lowest loss after that time). If its validation loss rises again before, all are
    judged by their lowest. The winner is verified with three to five other seeds.

    `budget` limits the time of the trainings (seconds, or text like "10m"). All trainings have the settings of
    `config`, an `advisor.yaml`. `metric` is the name of a number that the script prints or logs (`val_loss: 0.42`); it
    judges a training in place of its losses, and lower is better. `knobs` are the only ones to try, `no_knobs` are left
    alone. The other parameters and the errors are those of `advisor.tune`. `failure` says why no loss can judge it.
    """
    from .. import hardware as machines
    from ..runtime import RunOptions
    from ..runtime.protection import protect
    from ..search import KnobSelection, trial_log
    from ..search.training import Horizon, TrainingLog
    from ..settings_file.loaded import read_document
    from ..storage import run_store, safe_files
    from ..target.function import command_for
    from ..verification.training_run import Trainings
    from .learning_run import LearningRun

    if objective not in OBJECTIVES:
        raise UnknownNameError(f"unknown objective {objective!r}", OBJECTIVES, name=objective)
    options = RunOptions(
        isolation=isolation,
        runs=runs,
        start_limit_s=start_limit_s,
        no_progress_limit_s=no_progress_limit_s,
        memory_limit_bytes=memory_limit_bytes,
        trackers_offline=trackers_offline,
        python=python,
        progress=progress,
        metric=metric or "",
    )
    command = command_for(script, args, is_module=module, interpreter=python, root=options.root)
    selection = KnobSelection.of(knobs, no_knobs)
    goal: LearningObjective = "time_to_loss" if objective == "time_to_loss" else "loss_at_time"
    request = LearningRequest(
        command=command,
        objective=goal,
        horizon=Horizon.of(horizon, objective=objective),
        budget_s=None if budget is None else seconds_of(budget),
        always=Config() if config is None else read_document(Path(config)).config,
        only=selection.only,
        without=selection.without,
        verify=verify,
        metric=options.metric,
    )
    with ExitStack() as stack:
        machine = machines.probe(folder=Path(command.cwd))
        protection = protect(command, options)
        run = (
            run_store.new_run(options.root, command.target)
            if resume is None
            else run_store.find_run(os.fspath(resume), options.root)
        )
        stack.enter_context(safe_files.disk_errors(run.path))
        stack.enter_context(trial_log.held(run.path))
        trainings = Trainings(
            command=command,
            folder=run.path,
            isolation=protection,
            options=options,
            watch_devices=any(device.kind == "cuda" for device in machine.accelerators),
        )
        log = TrainingLog(trainings=trainings, folder=run.path)
        if resume is None:
            trial_log.TrialLog(run.path).begin(request.as_kept())
        else:
            trial_log.check_alike(trial_log.read(run.path), request.as_kept(), run.path)
            log.read()
        learning = LearningRun(
            request=request,
            options=options,
            run=run,
            machine=machine,
            trainings=trainings,
            log=log,
            profile=run_store.load_profile(run.profile_path) if log.known and run.has_profile else None,
        )
        learning.carry_out()
        found = _result(learning)
        keep(found)
    progress.close()
    if learning.interrupted is not None:
        raise interrupted_error(run.run_id, run.path, learning.interrupted, found=found) from learning.interrupted
    return found


def keep(found: LearningResult) -> None:
    """Store the result in its run's folder, so that it can be shown again."""
    from ..storage.result_files import LEARNING
    from ..storage.run_store import RunFolder

    LEARNING.save(found, RunFolder(path=Path(found.run_folder)))


def _result(learning: LearningRun) -> Learned:
    assert learning.profile is not None
    request, baseline, found = learning.request, learning.baseline, learning.found
    folder, verdict = str(learning.run.path), learning.verdict
    best = found.best if found is not None else None
    result = Learned(
        profile=replace(learning.profile, run_folder=folder),
        objective=learning.objective,
        horizon=request.horizon.text,
        horizon_updates=learning.horizon_updates if baseline is not None else 0,
        horizon_s=baseline.run.seconds if baseline is not None else 0.0,
        loss=baseline.loss if baseline is not None else "training loss",
        target=baseline.target if baseline is not None else None,
        judged_by=baseline.judged_by if baseline is not None else "end",
        trials=found.trials if found is not None else (),
        verdict=verdict,
        recommendation=_recommendation(learning, verdict, best),
        always=request.always.as_dict(),
        baseline=baseline.curve if baseline is not None else None,
        best=best.as_dict() if best is not None else {},
        best_updates=found.updates if found is not None else 0,
        range_test=learning.log.tested,
        skipped=tuple(learning.skipped),
        notes=(*learning.notes, *dict.fromkeys(learning.trainings.notes)),
        failure=learning.failure,
        ended=found.ended if found is not None else "",
        run_folder=folder,
    )
    return Redactor.of_words(request.command.args, os.environ).of(result)


def _recommendation(learning: LearningRun, verdict: LearningVerdict, best: Config | None) -> Recommendation:
    """Return the settings in the form of other searches; without the candidate's unless they are proven."""
    assert learning.profile is not None
    request, baseline = learning.request, learning.baseline
    chosen = best.as_dict() if best is not None and recommends(verdict) else {}
    notes = []
    if chosen and baseline is not None:
        judged = "a lower loss after" if learning.objective == "loss_at_time" else "the time to a loss, over"
        if baseline.judged_by == "lowest":
            judged = (
                "a lower lowest loss within"
                if learning.objective == "loss_at_time"
                else "the time to the script's lowest loss within"
            )
        notes.append(
            f"These settings change the training. They are judged by {judged} {request.horizon.text} "
            f"({baseline.loss}), not by samples per second."
        )
    quality: Literal["passed", "not checked"] = "passed" if recommends(verdict) else "not checked"
    return Recommendation(
        command=learning.profile.command,
        hardware=learning.machine,
        config=Config.of({**request.always.as_dict(), **chosen}),
        verdict=Verdict(
            status=_STATUS[verdict.status],
            speedup=verdict.speedup,
            low=verdict.low,
            high=verdict.high if math.isfinite(verdict.high) else math.inf,
            rounds=len(verdict.pairs),
            floor=0.05,
            quality=quality,
            quality_evidence=verdict.why,
        ),
        skipped=tuple(learning.skipped),
        notes=tuple(notes),
    )
